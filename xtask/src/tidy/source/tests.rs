use super::*;

#[test]
fn strings_comments_and_characters_are_blanked_and_lines_are_kept() {
    let text = "let a = \"{ // no\"; // fn x() {\nlet b = '{'; /* { \n /* { */ */ let c = r#\"}\"#; let r#fn = b'\\'';";
    let code = code_only(text);
    assert_eq!(code.lines().count(), text.lines().count());
    assert!(!code.contains('{') && !code.contains('}'), "{code}");
    assert!(code.contains("let c =") && code.contains("r#fn"), "{code}");
}

#[test]
fn lifetimes_survive() {
    assert_eq!(code_only("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
}

#[test]
fn functions_are_counted_without_blank_lines_and_comments() {
    let text = "trait T { fn declared(&self) -> [u8; 4]; }\n\nfn one() {\n\n    // why\n    let x = [0; 3];\n}\n";
    assert_eq!(functions(text), vec![Function { name: "one".into(), line: 3, lines: 3 }]);
}

#[test]
fn items_for_tests_are_not_shipped() {
    let code = shipped_code(
        "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { c(); }\n}\n#[cfg(test)]\nmod more;\nfn d() {}\n",
    );
    assert!(code.contains("fn a") && code.contains("fn d"), "{code}");
    assert!(!code.contains("fn b") && !code.contains("more"), "{code}");
}
