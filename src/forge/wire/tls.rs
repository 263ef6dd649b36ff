//! TLS with ring and the system's certificate authorities, or with one's own.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::super::ForgeError;
use crate::model::Digest;

/// A client's TLS: the pinned certificate alone, or the system's authorities and those of `ca_file`.
///
/// # Errors
/// `Tls` when the file holds no certificate.
pub(in crate::forge) fn client(
    ca_file: Option<&Path>,
    pin: Option<&Digest>,
) -> Result<ClientConfig, ForgeError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|problem| ForgeError::Tls { why: problem.to_string() })?;
    let mut config = match pin {
        Some(pin) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { pin: pin.clone(), provider }))
            .with_no_client_auth(),
        None => builder.with_root_certificates(authorities(ca_file)?).with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn authorities(ca_file: Option<&Path>) -> Result<RootCertStore, ForgeError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let Some(path) = ca_file else { return Ok(store) };
    let why = |problem: &dyn std::fmt::Display| ForgeError::Tls {
        why: format!("cannot read certificate authorities from {}: {problem}", path.display()),
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|problem| why(&problem))?;
    let before = store.len();
    for certificate in certificates {
        let certificate = certificate.map_err(|problem| why(&problem))?;
        store.add(certificate).map_err(|problem| why(&problem))?;
    }
    if store.len() == before {
        return Err(why(&"there is none in it"));
    }
    Ok(store)
}

/// Whether the system has no certificate authorities: every https request would fail, and not for the forge's fault.
pub(in crate::forge) fn system_has_none() -> bool {
    rustls_native_certs::load_native_certs().certs.is_empty()
}

/// Accepts one certificate and no other.
#[derive(Debug)]
struct Pinned {
    pin: Digest,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if Digest::of(end_entity) == self.pin {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("the certificate is not the pinned one".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
