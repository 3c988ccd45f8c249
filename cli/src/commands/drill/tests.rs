use limen_wire::pb::Error;

use super::*;

fn answer(node: &str, code: Option<Code>) -> DrillFiled {
    let error = code.map(|code| Error { code: code.as_str().to_owned(), ..Error::default() });
    DrillFiled { node: node.to_owned(), error }
}

#[test]
fn one_signer_that_refuses_a_record_is_named_and_fails_the_command() {
    let (taken, refused) = (|node| answer(node, None), |node| answer(node, Some(Code::WrongState)));
    let away = |node| answer(node, Some(Code::TooFewSigners));
    assert_eq!(not_taken(&[taken("n1"), taken("n2")]), None);
    assert_eq!(not_taken(&[taken("n1"), away("n2")]), None, "it reads it when it is back");
    let words = |answers: &[DrillFiled]| not_taken(answers).unwrap();
    let one = words(&[taken("n1"), refused("n2"), away("n3"), taken("n4")]);
    assert_eq!(one, "was refused by n2; taken by n1, n4; not answered by n3");
    assert_eq!(
        words(&[refused("n1"), refused("n2")]),
        "was refused by n1, n2; taken by nobody; not answered by nobody"
    );
    assert_eq!(words(&[away("n1")]), "was refused by nobody; taken by nobody; not answered by n1");
    assert!(words(&[]).contains("taken by nobody"));
}
