//! Until when a certificate is good.

use p256::pkcs8::der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use p256::pkcs8::der::{self, Decode as _, Reader as _, SliceReader, Tag, Tagged as _};

/// Seconds since 1970 of the end of the first certificate of a PEM text (RFC 5280, 4.1); what is wrong with it otherwise.
pub(super) fn not_after(text: &[u8]) -> Result<u64, String> {
    let blocks = pem::parse_many(text).map_err(|error| error.to_string())?;
    let first = blocks.iter().find(|block| block.tag() == "CERTIFICATE").ok_or("no certificate is in it")?;
    validity(first.contents()).map_err(|error| format!("its validity cannot be read: {error}"))
}

fn validity(certificate: &[u8]) -> der::Result<u64> {
    let mut signed = SliceReader::new(AnyRef::from_der(certificate)?.value())?;
    let mut fields = SliceReader::new(AnyRef::decode(&mut signed)?.value())?;
    if fields.peek_tag()?.is_context_specific() {
        // version
        AnyRef::decode(&mut fields)?;
    }
    for _serial_algorithm_issuer in 0..3 {
        AnyRef::decode(&mut fields)?;
    }
    let mut times = SliceReader::new(AnyRef::decode(&mut fields)?.value())?;
    AnyRef::decode(&mut times)?;
    let until = AnyRef::decode(&mut times)?;
    let until = match until.tag() {
        Tag::UtcTime => until.decode_as::<UtcTime>()?.to_unix_duration(),
        _ => until.decode_as::<GeneralizedTime>()?.to_unix_duration(),
    };
    Ok(until.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32) -> String {
        let mut wanted = rcgen::CertificateParams::new(["x.example".to_owned()]).unwrap();
        wanted.not_after = rcgen::date_time_ymd(year, 2, 3);
        wanted.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn ends_are_read_in_both_forms_and_nonsense_is_an_error() {
        assert_eq!(not_after(certificate(2031).as_bytes()), Ok(1_927_843_200));
        assert_eq!(not_after(certificate(2060).as_bytes()), Ok(2_842_992_000));
        assert!(not_after(b"nothing").is_err());
        let cut = pem::encode(&pem::Pem::new("CERTIFICATE", vec![0x30, 0x03, 0x30, 0x01]));
        assert!(not_after(cut.as_bytes()).is_err());
    }
}
