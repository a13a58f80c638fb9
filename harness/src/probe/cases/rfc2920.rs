//! RFC 2920: PIPELINING.

use crate::probe::{
    case::{Case, Need},
    context::Context,
    outcome::Checked,
};

pub(super) const CASES: &[Case] = &[Case::must(
    "rfc2920/3.2/replies-in-order",
    "Commands that come in one piece are answered one by one, in their order.",
    |c| Box::pin(replies_in_order(c)),
)
.needs(&[Need::Extension("PIPELINING")])];

async fn replies_in_order(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let mail = format!("MAIL FROM:<{}>", c.from());
    let rcpt = format!("RCPT TO:<{}>", c.to());
    s.pipeline(&[&mail, &rcpt, "DATA"]).await;
    s.reply().await?.expect("250")?;
    s.reply().await?.expect("250|251")?;
    s.reply().await?.expect("354")
}
