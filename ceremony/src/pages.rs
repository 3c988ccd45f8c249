//! Pages for people: the printable script of a plan, and the annotated report of a record. No script, no style from elsewhere: they print as
//! they are, years later too.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use limen_evidence::ceremony::{Body, Mode, Verified};
use limen_policy::approval::words::words_of;
use limen_policy::ceremony::{Attendance, Field, Kind, Plan, Rule, Step, step};
use limen_wire::ids::NodeId;
use qrcode::{Color, EcLevel, QrCode};

const STYLE: &str = "body{font:11pt/1.45 serif;max-width:48em;margin:2em auto;padding:0 1em}h1,h2{line-height:1.2}\
h2{border-top:1px solid #999;padding-top:.6em;page-break-after:avoid}table{border-collapse:collapse;width:100%}\
td,th{border:1px solid #999;padding:.25em .5em;text-align:left;vertical-align:top;overflow-wrap:anywhere}\
code{font-size:90%;overflow-wrap:anywhere}.mark{border:2px solid #000;padding:.5em;font-weight:bold}\
section{page-break-inside:avoid}.qr{width:12em;background:#fff}.role{page-break-before:always}";

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}

/// A page that grows.
struct Page(String);

impl Page {
    fn new(title: &str) -> Self {
        Self(format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style></head><body>\n\
             <h1>{0}</h1>\n",
            escape(title)
        ))
    }

    fn put(&mut self, html: impl AsRef<str>) {
        self.0.push_str(html.as_ref());
        self.0.push('\n');
    }

    fn line(&mut self, what: &str, value: &str) {
        // Writing to a string does not fail.
        writeln!(self.0, "<tr><th>{}</th><td><code>{}</code></td></tr>", escape(what), escape(value)).ok();
    }

    /// A hash as its text and as what a camera reads: `limen:WHAT:HEX`.
    fn hash(&mut self, what: &str, kind: &str, hash: &str) {
        self.line(what, hash);
        if let Some(square) = qr(&format!("limen:{kind}:{hash}")) {
            // Writing to a string does not fail.
            writeln!(self.0, "<tr><th>the same for a camera</th><td>{square}</td></tr>").ok();
        }
    }

    fn end(mut self) -> String {
        self.0.push_str("</body></html>\n");
        self.0
    }
}

/// Light modules around a QR code, as ISO/IEC 18004 asks for.
const QUIET: usize = 4;

/// A QR code as a picture within the page; nothing for a text that is too long for one.
fn qr(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let side = code.width().saturating_add(2 * QUIET);
    let mut path = String::new();
    let modules = code.to_colors();
    for (row, line) in modules.chunks(code.width()).enumerate() {
        for (column, _) in line.iter().enumerate().filter(|(_, color)| **color == Color::Dark) {
            // Writing to a string does not fail.
            write!(path, "M{} {}h1v1h-1z", column.saturating_add(QUIET), row.saturating_add(QUIET)).ok();
        }
    }
    Some(format!(
        "<svg class=\"qr\" role=\"img\" aria-label=\"QR code of {0}\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <path d=\"{path}\"/></svg>",
        escape(text)
    ))
}

/// What somebody does for a field, in words.
fn instruction(field: &Field) -> String {
    match &field.rule {
        Rule::Words(words) => format!("type what the person before you reads out; here it stands as: {words}"),
        Rule::Exactly(text) if field.name == "go" => format!("say go: {text}"),
        Rule::Exactly(text) => format!("your program says: {text}"),
        Rule::OneOf(texts) => format!("your program measures itself: {}", texts.join(" or ")),
        Rule::Clock => "your program reads your clock".to_owned(),
        Rule::AtLeast(least) => format!("your program measures: at least {least}"),
        Rule::Text => "your program says".to_owned(),
        Rule::Proof { .. } => {
            "the machine signs for this plan: its key file, or `limen-node prove-identity` on the machine".to_owned()
        }
        Rule::Told => "say it in one line, or none".to_owned(),
        Rule::Parent(_) => "bring the text of the charter in force by --bring".to_owned(),
        Rule::Approval => "sign the version by `limen charter sign`, and bring that file by --bring".to_owned(),
        Rule::Certificate(_) => "your own client fetches it; all its signatures are checked".to_owned(),
        Rule::Certified(_) => "read it out, and compare it with what the others read".to_owned(),
        Rule::Switched { .. } => "bring it by --bring; without it your program says none".to_owned(),
        Rule::Destroyed { .. } => "bring what `limen key destroyed-proof` wrote by --bring".to_owned(),
        Rule::BackupHead { .. } => "bring the file of `limen backup fetch` by --bring; what it says in clear is said".to_owned(),
        Rule::BackupProof { .. } => {
            "run `limen-recover check` offline with what your program shows you then, and bring what it prints by --bring".to_owned()
        }
        Rule::TestSignature { .. } => {
            "your own client asks for it, or you bring it from an offline machine by --bring; every program verifies it"
                .to_owned()
        }
    }
}

fn steps(page: &mut Page, steps: &[Step], only: impl Fn(&limen_wire::ids::PersonId) -> bool) {
    for step in steps {
        page.put(format!("<section><h2>Step {} ({})</h2>", step.number, step.name));
        page.put(format!(
            "<p>{}</p><p>If it is called off later: {}.</p>",
            escape(&step.title),
            escape(step.undo.as_str())
        ));
        page.put("<table><tr><th>who</th><th>what</th><th>how</th><th>done, time</th></tr>");
        for (person, fields) in step.says.iter().filter(|(person, _)| only(person)) {
            let shown = escape(person.as_str());
            if fields.is_empty() {
                page.put(format!(
                    "<tr><td>{shown}</td><td>is with the others</td><td>by the program</td><td></td></tr>"
                ));
            }
            for field in fields {
                let (name, how) = (escape(&field.name), escape(&instruction(field)));
                page.put(format!("<tr><td>{shown}</td><td>{name}</td><td>{how}</td><td></td></tr>"));
            }
        }
        page.put("</table></section>");
    }
}

/// The printable script of a plan: once for all, and a sheet for every role.
pub fn script(plan: &Plan, attendance: &Attendance) -> String {
    let mut page = Page::new(&format!("Script: {}", plan.title));
    page.put("<table>");
    page.line("cluster", plan.cluster.as_str());
    page.line("ceremony", plan.id.as_str());
    page.line("kind", plan.kind.as_str());
    page.hash("plan, SHA-256", "plan", &plan.hash().to_string());
    page.line("its words", &plan.words());
    if let Some(charter) = plan.charter() {
        page.hash("charter, SHA-256", "charter", &charter.to_string());
        page.line("its words", &words_of("charter", charter.as_bytes()).join(" "));
    }
    for hash in &plan.software {
        page.line("limen-ceremony, SHA-256", hash);
    }
    page.put("</table>");
    page.put("<p>Whoever sees something that is not as it stands here says so, writes it down and has it recorded (<code>limen-ceremony \
              exception</code>), or answers no, which ends it for all.</p>");
    page.put("<h2>People</h2><table><tr><th>who</th><th>name</th><th>site</th><th>credential</th></tr>");
    for person in &plan.people {
        page.put(format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td><code>{}</code></td></tr>",
            escape(person.id.as_str()),
            escape(&person.name),
            escape(&person.site),
            person.credential
        ));
    }
    page.put("</table><h2>Machines</h2><table><tr><th>machine</th><th>kind</th><th>site</th><th>identity</th><th>operator</th></tr>");
    for machine in &plan.machines {
        page.put(format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td><code>{}</code></td><td>{}</td></tr>",
            machine.id,
            machine.kind,
            escape(&machine.site),
            machine.public_key,
            machine.operator
        ));
    }
    page.put("</table>");
    let all = step::steps(plan, attendance);
    steps(&mut page, &all, |_| true);
    for role in &plan.roles {
        let acting = attendance.acting(&role.id).unwrap_or(&role.holder);
        page.put(format!("<div class=\"role\"><h1>Sheet of role {}: {}</h1>", role.id, escape(acting.as_str())));
        let instead: Vec<String> = role.stand_ins.iter().map(ToString::to_string).collect();
        let instead = if instead.is_empty() { "nobody".to_owned() } else { instead.join(", then ") };
        page.put(format!("<p>{}. Stands in if absent: {}.</p>", escape(&role.duty), escape(&instead)));
        page.put(format!("<p>The plan's words: <b>{}</b></p>", plan.words()));
        steps(&mut page, &all, |person| person == acting);
        page.put("</div>");
    }
    page.end()
}

/// What a record says has come of the ceremony, by its kind; nothing for one that was called off.
pub fn results(verified: &Verified) -> Vec<(&'static str, String)> {
    let plan = verified.session.plan();
    if verified.name.is_none() {
        return Vec::new();
    }
    let mut results = Vec::new();
    if let Some(charter) = plan.charter() {
        let what =
            if matches!(plan.kind, Kind::Genesis(_)) { "charter version 1" } else { "charter, signed by its quorum" };
        results.push((what, charter.to_string()));
    }
    if let Some(key) = &verified.certified {
        results.push(("key", format!("{}, epoch {}", key.key_id, key.epoch.0)));
        results.push(("public key", hex::encode(&key.public_key)));
        results.push(("all shares", hex::encode(key.verifying_shares_hash)));
    } else if let Some(key) = plan.kind.known() {
        results.push(("about key", format!("{}, epoch {}", key.id, key.epoch.0)));
        results.push(("public key", hex::encode(&key.public_key)));
    }
    match &plan.kind {
        Kind::Destruction(destruction) => {
            let said = "every member of this epoch has said, signed by its identity, that it destroyed its shares";
            results.push(("destroyed", said.to_owned()));
            results.push(("retired by charter", destruction.retired_by.to_string()));
        }
        Kind::Backup(backup) => {
            let said = "every custodian of every member has proved that they read their piece";
            results.push(("proven", said.to_owned()));
            for one in &backup.members {
                results.push(("backup", format!("{} of {}", hex::encode(one.backup), one.node)));
            }
        }
        Kind::KekRotation(rotation) => {
            let nodes: Vec<&str> = rotation.nodes.iter().map(NodeId::as_str).collect();
            results.push(("wrapping keys rotated", nodes.join(", ")));
        }
        Kind::IdentityRotation(rotation) => {
            for (node, before) in &rotation.replaced {
                let is = plan.machine(node).map(|machine| machine.public_key.to_string()).unwrap_or_default();
                results.push(("identity", format!("{node}: {is}, before {before}")));
            }
            results.extend(rotation.reshare.iter().map(|key| ("to be reshared", key.to_string())));
        }
        Kind::Sweep(sweep) => {
            results.push(("swept from", format!("{}, {}", sweep.key.id, hex::encode(&sweep.key.public_key))));
            results.push(("retired by charter", sweep.retired_by.to_string()));
        }
        Kind::Recovery(_) => results.push(("was once whole", "yes: sweep what lies under it".to_owned())),
        Kind::Drill(drill) => {
            results.push(("drill passed", drill.scenario.as_str().to_owned()));
            results.push(("next drill due", drill.next_due.clone()));
        }
        _ => {}
    }
    results
}

/// The annotated report of a record that holds.
pub fn report(verified: &Verified) -> String {
    let plan = verified.session.plan();
    let mut page = Page::new(&format!("Record: {}", plan.title));
    if verified.session.mode() == Mode::Rehearsal {
        page.put("<p class=\"mark\">REHEARSAL: this record counts for nothing.</p>");
    }
    for (by, cause) in &verified.aborts {
        page.put(format!("<p class=\"mark\">CALLED OFF by {}: {}</p>", escape(by.as_str()), escape(cause)));
    }
    page.put("<table>");
    page.line("cluster", plan.cluster.as_str());
    page.line("ceremony", plan.id.as_str());
    page.line("kind", plan.kind.as_str());
    page.hash("plan, SHA-256", "plan", &plan.hash().to_string());
    if let Some(name) = verified.name {
        page.hash("record, the hash that all signed", "record", &name.to_string());
        page.line("its words", &words_of("record", name.as_bytes()).join(" "));
    }
    for (what, value) in results(verified) {
        page.line(what, &value);
    }
    page.put("</table><h2>Who was there</h2><table><tr><th>who</th><th>roles</th><th>credential</th></tr>");
    for id in verified.session.attendance().present() {
        let roles: Vec<String> = verified.session.attendance().roles_of(id).map(ToString::to_string).collect();
        let key = plan.person(id).map(|person| person.credential.to_string()).unwrap_or_default();
        page.put(format!("<tr><td>{id}</td><td>{}</td><td><code>{key}</code></td></tr>", roles.join(", ")));
    }
    page.put("</table>");
    for ((step, said), head) in verified.session.steps().iter().zip(&verified.done).zip(&verified.heads) {
        page.put(format!("<section><h2>Step {} ({})</h2><p>{}</p>", step.number, step.name, escape(&step.title)));
        page.put("<table>");
        for (person, said) in said {
            let Body::Step { at, exceptions, fields, .. } = &said.contribution.body else { continue };
            let when = at.map_or_else(|| "signed".to_owned(), |at| format!("said at {at} (seconds since 1970)"));
            page.line(person.as_str(), &when);
            for text in exceptions {
                page.line(&format!("{person}: EXCEPTION"), text);
            }
            for (name, value) in fields {
                page.line(&format!("{person}: {name}"), value);
            }
        }
        page.put(format!("</table><p>Record up to here: <code>{head}</code></p></section>"));
    }
    page.end()
}
