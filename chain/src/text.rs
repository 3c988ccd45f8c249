//! Text as an approver may safely see it.

/// The text if it shows everything that it holds, else hexadecimal with `0x`.
///
/// Never ambiguous: text that begins with `0x` is written in hexadecimal too. Control characters but the line feed, and
/// characters that hide or reorder their neighbours (Unicode category Cf and the line separators), are never shown.
pub(crate) fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with("0x") && text.chars().all(is_visible) => text.to_owned(),
        _ => format!("0x{}", hex::encode(bytes)),
    }
}

/// Whether somebody who sees these bytes written out has seen all of them.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(is_visible))
}

fn is_visible(c: char) -> bool {
    let hidden = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}' | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
    c == '\n' || !(c.is_control() || hidden)
}
