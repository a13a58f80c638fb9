//! A command line, as any client may send it: no panic, and what is accepted prints and parses again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reference_node::smtp::command::{Command, Context};

fuzz_target!(|input: (bool, bool, &[u8])| {
    let (esmtp, smtputf8, line) = input;
    let context = Context { esmtp, smtputf8 };
    let printed = match Command::parse(line, context) {
        Ok(Command::Mail(from)) => from.to_string(),
        Ok(Command::Rcpt(to)) => to.to_string(),
        Ok(Command::Peer(command)) => command.to_string(),
        Ok(_) => return,
        Err(reply) => {
            assert!(reply.is_permanent() || reply.code == 421, "{reply}");
            return;
        }
    };
    let again = Command::parse(printed.as_bytes(), context);
    assert_eq!(again, Command::parse(line, context), "{printed}");
});
