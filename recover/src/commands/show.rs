//! `show`: what backups say in clear, and how few people have the key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use limen_recover::{Backup, Custodian, Head};
use limen_wire::effects::sha256;
use limen_wire::paths::{Fewest, Holding, fewest_people};

use crate::files;

pub(super) fn show(paths: &[PathBuf], people_required: Option<usize>) -> Result<()> {
    let mut backups = Vec::new();
    for path in paths {
        let backup = files::backup(path)?;
        show_one(path, &backup)?;
        backups.push(backup);
    }
    let people = People::of(&backups);
    let mut groups: Vec<Vec<&Head>> = Vec::new();
    for head in backups.iter().map(Backup::head) {
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| first.public() == head.public())) {
            Some(group) => group.push(head),
            None => groups.push(vec![head]),
        }
    }
    let mut too_few = Vec::new();
    for group in groups {
        too_few.extend(count(&group, &people, people_required)?);
    }
    if too_few.is_empty() { Ok(()) } else { bail!("{}", too_few.join("; ")) }
}

/// Says how few people have the key of these backups; gives what is wrong with that.
fn count(group: &[&Head], people: &People<'_>, people_required: Option<usize>) -> Result<Option<String>> {
    let Some(public) = group.first().map(|head| head.public()) else { return Ok(None) };
    let holdings: Vec<Holding<usize>> = group.iter().map(|head| people.holding(head)).collect();
    let fewest = fewest_people(&holdings, public.size.signers_required().into());
    let (key, epoch) = (&public.key, public.epoch);
    let words = match fewest {
        Fewest::Exactly(count) => format!("{count} people together have the key, and no fewer"),
        Fewest::AtLeast(count) => {
            format!("{count} people or more are needed for the key: too many ways to look at all")
        }
        Fewest::Nobody => "these backups are not enough for the key".to_owned(),
    };
    files::print(&format!("{key}, epoch {epoch}: by what is in these files {words}"))?;
    match people_required {
        Some(required) if !fewest.is_at_least(required) => {
            Ok(Some(format!("{key}, epoch {epoch}: fewer than the {required} people required together have the key")))
        }
        Some(required) if matches!(fewest, Fewest::Nobody) => {
            files::tell(&format!(
                "{key}, epoch {epoch}: other backups may bring it below {required}: show all of them together"
            ));
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// Which custodians are one person: those of one name, and those of one recipient, over all files.
struct People<'a> {
    by_name: BTreeMap<&'a str, usize>,
}

impl<'a> People<'a> {
    fn of(backups: &'a [Backup]) -> Self {
        let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
        let mut by_recipient: BTreeMap<&str, usize> = BTreeMap::new();
        for (number, Custodian { person, recipient }) in
            backups.iter().flat_map(|backup| backup.head().custodians()).enumerate()
        {
            let named = by_name.get(person.as_str()).copied();
            let keyed = by_recipient.get(recipient.as_str()).copied();
            let one = named.or(keyed).unwrap_or(number);
            if let (Some(named), Some(keyed)) = (named, keyed) {
                // two that were taken for two so far are one
                let all = by_name.values_mut().chain(by_recipient.values_mut());
                all.filter(|number| **number == keyed).for_each(|number| *number = named);
            }
            by_name.insert(person.as_str(), one);
            by_recipient.insert(recipient.as_str(), one);
        }
        Self { by_name }
    }
    fn holding(&self, head: &Head) -> Holding<usize> {
        let names = head.custodians().iter().map(|custodian| custodian.person.as_str());
        Holding {
            share: head.member().as_u16(),
            people: names.filter_map(|name| self.by_name.get(name).copied()).collect(),
            pieces_required: head.pieces_required(),
        }
    }
}

fn show_one(path: &Path, backup: &Backup) -> Result<()> {
    let (head, public) = (backup.head(), backup.head().public());
    let (required, total) = (public.size.signers_required(), public.size.signers_total());
    let lines = [
        format!("{}: backup {}", path.display(), backup.hash()),
        format!(
            "  head       {} (SHA-256 of its lines without the pieces)",
            hex::encode(sha256(head.to_text().as_bytes()))
        ),
        format!(
            "  key        {} of cluster {}, epoch {}, {} by {}",
            public.key, public.cluster, public.epoch, public.scheme, public.protocol
        ),
        format!("  public key {}", hex::encode(public.public_key.to_key(public.scheme))),
        format!("  chain code {}", hex::encode(public.chain_code)),
        format!("  all shares {} (as `limen key show` says, or the file is made up)", hex::encode(head.shares_hash())),
        format!(
            "  share      of member {} ({}); {required} of {total} shares give the key",
            head.member(),
            head.node()
        ),
        format!("  charter    {}", head.charter()),
        format!("  pieces     {} of {} give the share", head.pieces_required(), head.custodians().len()),
    ];
    lines.iter().try_for_each(|line| files::print(line))?;
    let custodian = |(place, custodian): (u8, &Custodian)| {
        files::print(&format!("  piece {place:<4} {} {}", custodian.person, custodian.recipient))
    };
    head.places().try_for_each(custodian)
}
