//! The next hop's certificate: made for the probe, and trusted by nobody. A client that encrypts when it can takes it all the same.

use std::sync::Arc;

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// For one probe.
///
/// # Errors
/// The words of who makes the certificate; none is known.
pub(super) fn acceptor() -> Result<TlsAcceptor, String> {
    let own = rcgen::generate_simple_self_signed(["hop.gauntlet.invalid".to_owned()])
        .map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .map_err(|error| error.to_string())?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
