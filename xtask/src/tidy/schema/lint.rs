//! Style of the wire schema, after the rules that Buf calls standard.

use super::super::Finding;
use super::RULE;
use super::parse::{Definition, Kind};

const PACKAGE: &str = "limen.v1";

pub(super) fn check(definition: &Definition) -> Vec<Finding> {
    let own = definition.name.rsplit('.').next().unwrap_or_default();
    let mut findings = Vec::new();
    let mut found = |what: String| {
        findings.push(Finding::at(RULE, &definition.file, definition.line, format!("{}: {what}", definition.name)));
    };
    match definition.kind {
        Kind::Package if definition.name != PACKAGE => found(format!("the package is {PACKAGE}")),
        Kind::Message | Kind::Enum | Kind::Service | Kind::Method if !is_camel(own) => {
            found("write the name LikeThis".to_owned());
        }
        Kind::Field | Kind::Oneof if !is_snake(own) => found("write the name like_this".to_owned()),
        Kind::EnumValue => check_value(definition, own, &mut found),
        _ => {}
    }
    // A choice is explained by its members; the package by its file.
    if !definition.commented && !matches!(definition.kind, Kind::Package | Kind::Oneof) {
        found("needs a comment right above it".to_owned());
    }
    findings
}

/// Values carry the enum's name, so that they stay unique in languages without scoped enums; zero means "not set".
fn check_value(definition: &Definition, own: &str, found: &mut impl FnMut(String)) {
    let parent = definition.name.rsplit('.').nth(1).unwrap_or_default();
    let prefix = format!("{}_", shout(parent));
    if !own.starts_with(&prefix) {
        found(format!("begin the value with {prefix}"));
    }
    if definition.shape.as_deref() == Some("0") && !own.ends_with("_UNSPECIFIED") {
        found("the zero value ends with _UNSPECIFIED".to_owned());
    }
}

fn is_camel(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_snake(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// `KeyState` → `KEY_STATE`.
fn shout(camel: &str) -> String {
    let mut text = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_uppercase());
    }
    text
}
