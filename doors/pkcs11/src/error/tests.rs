use std::collections::BTreeMap;
use std::time::Duration;

use limen_wire::error::ApiError;

use super::*;

/// The rows of the page's table: a PKCS#11 code and the words in code marks beside it.
fn page() -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/pkcs11.md")).unwrap();
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = text.lines().filter(|line| line.starts_with("| `CKR_"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').collect();
        (words(cells[1])[0].clone(), words(cells[2]))
    };
    rows.map(row).collect()
}

#[test]
fn the_page_has_every_error_of_the_cluster_beside_its_code() {
    let page = page();
    for code in Code::ALL {
        let wanted = name(of_cluster(*code));
        let found: Vec<&String> = page
            .iter()
            .filter(|(_, words)| words.iter().any(|word| word == code.as_str()))
            .map(|(row, _)| row)
            .collect();
        assert_eq!(found, [wanted], "{}", code.as_str());
    }
}

fn api(code: Code) -> Error {
    ApiError::new(code, "what was said").into()
}

#[test]
fn who_is_gone_depends_on_when() {
    let key = KeyId::new("release").unwrap();
    let gone = || Error::Unreachable { call: "Get", attempts: 2, waited: Duration::ZERO, last: "refused".to_owned() };
    let opening = Fault::Opening { key: key.clone(), source: gone() };
    assert_eq!(opening.code(), CKR_TOKEN_NOT_PRESENT);
    let signing = Fault::Signing { key: key.clone(), source: gone() };
    assert_eq!(signing.code(), CKR_DEVICE_REMOVED);
    let late = Error::NotEnded { state: "time_locked".to_owned(), waited: Duration::from_secs(60) };
    assert_eq!(Fault::Signing { key: key.clone(), source: late }.code(), CKR_FUNCTION_CANCELED);
    assert_eq!(Fault::Signing { key, source: api(Code::PolicyDenied) }.code(), CKR_FUNCTION_REJECTED);
}

#[test]
fn every_failure_but_the_programs_own_has_a_remedy() {
    let key = KeyId::new("release").unwrap();
    assert_eq!(Fault::Plain(CKR_ARGUMENTS_BAD).remedy(), None);
    let fault = Fault::Signing { key, source: api(Code::PolicyDenied) };
    assert!(fault.remedy().is_some());
    assert_eq!(fault.to_string(), "signing with key release: what was said [policy_denied]");
    assert!(Fault::Config(ConfigFault::NotNamed).to_string().contains("LIMEN_PKCS11_CONFIG"));
    assert_eq!(Fault::Config(ConfigFault::NotNamed).code(), CKR_FUNCTION_FAILED);
}
