use super::*;

const PATH: &str = "wire/proto/limen/v1/a.proto";

const GOOD: &str = r#"
syntax = "proto3";
package limen.v1;

// A shape.
message Shape {
  reserved 9;
  // Its name.
  string name = 1;
  oneof form {
    // Round.
    repeated bytes circle = 2 [deprecated = true];
  }
  // By name.
  map<string, uint32> corners = 3;
}

// How it stands.
enum ShapeState {
  // Not set.
  SHAPE_STATE_UNSPECIFIED = 0;
  // Upright.
  SHAPE_STATE_UPRIGHT = 1;
}

// Draws.
service Easel {
  // Draws them all.
  rpc Draw(stream Shape) returns (Shape) {}
}
"#;

fn definitions(text: &str) -> Vec<Definition> {
    parse::file(PATH, text).expect("it parses")
}

fn lints(text: &str) -> Vec<String> {
    definitions(text).iter().flat_map(lint::check).map(|f| f.to_string()).collect()
}

#[test]
fn a_well_written_file_passes_and_every_shape_is_read() {
    assert_eq!(lints(GOOD), Vec::<String>::new());
    let shapes = shapes(&definitions(GOOD));
    let shape = |name: &str| shapes.get(&format!("limen.v1.{name}")).map(String::as_str);
    assert_eq!(shape("Shape.name"), Some("1 string"));
    assert_eq!(shape("Shape.circle"), Some("2 oneof form repeated bytes"));
    assert_eq!(shape("Shape.corners"), Some("3 map < string , uint32 >"));
    assert_eq!(shape("ShapeState.SHAPE_STATE_UPRIGHT"), Some("1"));
    assert_eq!(shape("Easel.Draw"), Some("(stream Shape) returns (Shape)"));
    assert_eq!(shapes.len(), 6);
}

#[test]
fn each_fault_of_style_is_found() {
    let faults = [
        ("package limen.v1", "package limen.v2"),
        ("string name", "string Name"),
        ("message Shape", "message shape"),
        ("SHAPE_STATE_UNSPECIFIED", "SHAPE_STATE_UNKNOWN"),
        ("SHAPE_STATE_UPRIGHT", "UPRIGHT"),
        ("rpc Draw", "rpc draw"),
        ("  // Its name.\n", ""),
        ("// Draws.\n", "// Draws.\n\n"),
    ];
    for (good, bad) in faults {
        let text = GOOD.replacen(good, bad, 1);
        assert!(!lints(&text).is_empty(), "`{bad}` was not found");
    }
}

#[test]
fn a_file_that_ends_too_early_is_an_error() {
    assert!(parse::file(PATH, "message A { // half").is_err());
}

#[test]
fn breaking_changes_and_unrecorded_additions_are_found() {
    let before = shapes(&definitions(GOOD));
    let after = |good: &str, bad: &str| compare(&shapes(&definitions(&GOOD.replacen(good, bad, 1))), &before).len();
    assert_eq!(after("string name = 1", "string name = 1"), 0);
    assert_eq!(after("string name = 1", "string name = 4"), 1, "renumbered");
    assert_eq!(after("string name = 1", "bytes name = 1"), 1, "retyped");
    assert_eq!(after("string name = 1", "string title = 1"), 2, "renamed: one gone, one new");
    assert_eq!(after("(stream Shape)", "(Shape)"), 1, "no longer a stream");
    assert_eq!(after("SHAPE_STATE_UPRIGHT = 1", "SHAPE_STATE_UPRIGHT = 2"), 1);
    assert_eq!(after("  reserved 9;", "  // New.\n  bool filled = 10;"), 1, "an addition");
}

#[test]
fn the_baseline_reads_what_it_writes() {
    let now = shapes(&definitions(GOOD));
    let text: String = now.iter().map(|(name, shape)| format!("{name} = {shape}\n")).collect();
    assert_eq!(parse_baseline(&text), now);
}

#[test]
fn a_schema_without_a_baseline_fails() {
    assert_eq!(check(&Tree::of(&[(PATH, GOOD)])).len(), 6);
}
