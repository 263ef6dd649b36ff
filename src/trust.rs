//! Which servers' certificates are trusted: the system's authorities and a file's, or one pinned certificate. What the
//! system and the file hold is given; nothing is read here.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};

use crate::model::Digest;

/// The certificate is not the pinned one.
#[derive(Debug, thiserror::Error)]
#[error("its SHA-256 is {found}")]
pub struct NotPinned {
    /// SHA-256 of the certificate that the server showed, as 64 hexadecimal digits.
    pub found: String,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TrustProblem {
    /// The file holds something else.
    #[error("it holds no certificate in PEM form")]
    NoCertificate,
    /// The file is damaged.
    #[error("{0}")]
    Damaged(String),
    /// The authorities cannot be used.
    #[error("{0}")]
    Unusable(String),
}

/// The certificates of a file in PEM form; at least one.
///
/// # Errors
/// `NoCertificate` when there is none, `Damaged` when one cannot be read.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustProblem> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|problem| TrustProblem::Damaged(problem.to_string()))?;
    if found.is_empty() { Err(TrustProblem::NoCertificate) } else { Ok(found) }
}

/// Whom to trust.
#[derive(Debug, Clone, Default)]
pub struct Trusted {
    /// The system's authorities; those that cannot be used are left out.
    pub system: Vec<CertificateDer<'static>>,
    /// A file's: authorities, or servers' own certificates.
    pub extra: Vec<CertificateDer<'static>>,
    /// SHA-256 of the only certificate that is accepted, as people write it (`AB:CD:…`, `sha256:…`); then nothing else
    /// counts.
    pub pin: Option<String>,
}

/// How to speak TLS with a server.
///
/// # Errors
/// `Unusable` when the cryptography refuses what it is given.
pub fn client(trusted: Trusted) -> Result<ClientConfig, TrustProblem> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trust = match &trusted.pin {
        Some(pin) => Trust::Pinned(plain_pin(pin)),
        None => authorities(trusted, &provider)?,
    };
    let verifier = Arc::new(Verifier { trust, provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|problem| TrustProblem::Unusable(problem.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

fn authorities(trusted: Trusted, provider: &Arc<CryptoProvider>) -> Result<Trust, TrustProblem> {
    let exact = trusted.extra.iter().map(|certificate| Digest::of(certificate)).collect();
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(trusted.system.into_iter().chain(trusted.extra));
    if roots.is_empty() {
        return Ok(Trust::Listed { exact, authorities: None });
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|problem| TrustProblem::Unusable(problem.to_string()))?;
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
