//! Which servers' certificates are trusted: the system's authorities and a file's, or one pinned certificate.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};

use crate::model::Digest;

use super::{Access, GitError};

/// The certificate is not the pinned one.
#[derive(Debug, thiserror::Error)]
#[error("its SHA-256 is {found}")]
pub(super) struct NotPinned {
    pub(super) found: String,
}

/// The certificates of the access' own file.
pub(super) fn extra_certificates(
    access: &Access,
) -> Result<Vec<CertificateDer<'static>>, GitError> {
    let Some(path) = &access.ca_file else { return Ok(Vec::new()) };
    let unusable = |source| GitError::AccessFile { path: path.clone(), source };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| unusable(e.into()));
    let found = found?;
    if found.is_empty() {
        return Err(unusable("it holds no certificate in PEM form".into()));
    }
    Ok(found)
}

/// How to speak TLS with one remote.
pub(super) fn configure(
    access: &Access,
    extra: Vec<CertificateDer<'static>>,
) -> Result<ClientConfig, GitError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let file = access.ca_file.as_deref().unwrap_or(Path::new("the list of certificates"));
    let unusable =
        |cause: super::super::Cause| GitError::AccessFile { path: file.to_owned(), source: cause };
    let trust = match &access.pin_sha256 {
        Some(pin) => Trust::Pinned(plain_pin(pin)),
        None => authorities(extra, &provider).map_err(unusable)?,
    };
    let verifier = Arc::new(Verifier { trust, provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| unusable(cause.into()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

fn authorities(
    extra: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Trust, super::super::Cause> {
    let exact = extra.iter().map(|certificate| Digest::of(certificate)).collect();
    let mut roots = rustls::RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for problem in &system.errors {
        tracing::debug!(%problem, "a system certificate cannot be read");
    }
    let (added, ignored) = roots.add_parsable_certificates(system.certs.into_iter().chain(extra));
    tracing::trace!(added, ignored, "loaded certificate authorities");
    if roots.is_empty() {
        return Ok(Trust::Listed { exact, authorities: None });
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()?;
    Ok(Trust::Listed { exact, authorities: Some(verifier) })
}

/// A pin as people write it (`AB:CD:…`) in the form of a digest.
fn plain_pin(pin: &str) -> String {
    pin.trim().trim_start_matches("sha256:").replace([':', ' '], "").to_ascii_lowercase()
}

#[derive(Debug)]
enum Trust {
    /// Exactly this certificate, whoever signed it and whatever name it bears.
    Pinned(String),
    /// What the authorities signed; and certificates that the file itself holds, because a self-signed server
    /// certificate is no authority and would be refused as one.
    Listed { exact: BTreeSet<Digest>, authorities: Option<Arc<WebPkiServerVerifier>> },
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Digest::of(end_entity);
        match &self.trust {
            Trust::Pinned(pin) if pin == found.as_str() => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(_) => {
                let problem = NotPinned { found: found.to_string() };
                let problem = CertificateError::Other(OtherError(Arc::new(problem)));
                Err(rustls::Error::InvalidCertificate(problem))
            }
            Trust::Listed { exact, .. } if exact.contains(&found) => {
                Ok(ServerCertVerified::assertion())
            }
            Trust::Listed { authorities: Some(verifier), .. } => verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            Trust::Listed { authorities: None, .. } => {
                Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
