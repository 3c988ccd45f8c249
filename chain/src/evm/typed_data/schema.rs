//! The types of typed data, checked, and their `encodeType`.

use std::collections::{BTreeMap, BTreeSet};

use super::Refusal;
use super::json::{Json, Object, cut};

/// Most struct types.
const MAX_TYPES: usize = 64;
/// Most members of one struct type.
const MAX_MEMBERS: usize = 64;
/// Most bytes of a name of a type or member, array suffixes included.
const MAX_NAME_BYTES: usize = 128;
/// Most array suffixes of one member.
const MAX_DIMENSIONS: usize = 8;

/// What a domain may have (EIP-712, "Definition of domainSeparator").
const DOMAIN_MEMBERS: [(&str, &str); 5] = [
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
];

/// The type of a member.
pub(super) enum Type {
    Bool,
    Address,
    Text,
    Bytes,
    /// 1 to 32 bytes.
    FixedBytes(usize),
    /// Width in bits.
    Uint(usize),
    /// Width in bits.
    Int(usize),
    /// Element type, and the length where the type fixes it.
    Array(Box<Type>, Option<usize>),
    Struct(String),
}

/// A member of a struct type.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) kind: Type,
    spelled: String,
}

/// All struct types; every type that a member names is among them.
pub(super) struct Schema(BTreeMap<String, Vec<Member>>);

impl Schema {
    pub(super) fn parse(types: Json) -> Result<Self, Refusal> {
        let Json::Object(types) = types else {
            return Err("\"types\" must be an object".to_owned());
        };
        if types.len() > MAX_TYPES {
            return Err(format!("{} types, at most {MAX_TYPES} are accepted", types.len()));
        }
        let mut structs = BTreeMap::new();
        for (name, members) in types {
            if !is_name(&name) || is_reserved(&name) {
                return Err(format!("{:?} is not a name for a struct type", cut(&name)));
            }
            let members = members_of(&name, members)?;
            structs.insert(name, members);
        }
        let schema = Self(structs);
        for member in schema.0.values().flatten() {
            if let Some(name) = member.kind.struct_name() {
                schema.members(name)?;
            }
        }
        Ok(schema)
    }

    /// The members of a struct type, in order.
    pub(super) fn members(&self, name: &str) -> Result<&[Member], Refusal> {
        self.0.get(name).map(Vec::as_slice).ok_or_else(|| format!("type {:?} is not defined", cut(name)))
    }

    /// Only the five standard members, each with its standard type.
    pub(super) fn check_domain(&self, name: &str) -> Result<(), Refusal> {
        for member in self.members(name)? {
            if !DOMAIN_MEMBERS.contains(&(member.name.as_str(), member.spelled.as_str())) {
                return Err(format!(
                    "{} {} is not a standard member of {name}",
                    cut(&member.spelled),
                    cut(&member.name)
                ));
            }
        }
        Ok(())
    }

    /// The definition, followed by those of all types that it needs, sorted by name (EIP-712 `encodeType`).
    pub(super) fn encode_type(&self, primary: &str) -> Result<String, Refusal> {
        let mut needed = BTreeSet::new();
        let mut open = vec![primary];
        while let Some(name) = open.pop() {
            if needed.insert(name) {
                open.extend(self.members(name)?.iter().filter_map(|member| member.kind.struct_name()));
            }
        }
        needed.remove(primary);
        let mut text = String::new();
        for name in std::iter::once(primary).chain(needed) {
            let members: Vec<String> =
                self.members(name)?.iter().map(|member| format!("{} {}", member.spelled, member.name)).collect();
            text.push_str(&format!("{name}({})", members.join(",")));
        }
        Ok(text)
    }
}

fn members_of(owner: &str, members: Json) -> Result<Vec<Member>, Refusal> {
    let Json::List(members) = members else {
        return Err(format!("type {owner:?} must be a list of members"));
    };
    if members.len() > MAX_MEMBERS {
        return Err(format!("type {owner:?} has {} members, at most {MAX_MEMBERS} are accepted", members.len()));
    }
    let mut names = BTreeSet::new();
    let mut read = Vec::new();
    for member in members {
        let Json::Object(member) = member else {
            return Err(format!("a member of type {owner:?} is not an object"));
        };
        let (name, spelled) = name_and_type(owner, member)?;
        if !is_name(&name) || !names.insert(name.clone()) {
            return Err(format!("{:?} is not a name for a member of {owner:?}, or stands twice", cut(&name)));
        }
        let kind = Type::parse(&spelled)?;
        read.push(Member { name, kind, spelled });
    }
    Ok(read)
}

fn name_and_type(owner: &str, mut member: Object) -> Result<(String, String), Refusal> {
    match (member.remove("name"), member.remove("type"), member.is_empty()) {
        (Some(Json::Text(name)), Some(Json::Text(kind)), true) => Ok((name, kind)),
        _ => Err(format!("a member of type {owner:?} must have \"name\" and \"type\" as text, and nothing else")),
    }
}

impl Type {
    fn parse(spelled: &str) -> Result<Self, Refusal> {
        let unknown = || format!("{:?} is not a type", cut(spelled));
        if spelled.len() > MAX_NAME_BYTES {
            return Err(unknown());
        }
        let (base, suffixes) =
            spelled.split_at_checked(spelled.find('[').unwrap_or(spelled.len())).ok_or_else(unknown)?;
        let mut kind = Self::base(base).ok_or_else(unknown)?;
        let mut rest = suffixes;
        let mut dimensions = 0_usize;
        while !rest.is_empty() {
            let (length, behind) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(unknown)?;
            let length = if length.is_empty() { None } else { Some(decimal(length).ok_or_else(unknown)?) };
            kind = Self::Array(Box::new(kind), length);
            rest = behind;
            dimensions = dimensions.saturating_add(1);
        }
        if dimensions > MAX_DIMENSIONS { Err(unknown()) } else { Ok(kind) }
    }

    fn base(name: &str) -> Option<Self> {
        Some(match name {
            "bool" => Self::Bool,
            "address" => Self::Address,
            "string" => Self::Text,
            "bytes" => Self::Bytes,
            _ => {
                if let Some(size) = name.strip_prefix("bytes").and_then(decimal) {
                    (1..=32).contains(&size).then_some(Self::FixedBytes(size))?
                } else if let Some(bits) = name.strip_prefix("uint").and_then(decimal) {
                    is_width(bits).then_some(Self::Uint(bits))?
                } else if let Some(bits) = name.strip_prefix("int").and_then(decimal) {
                    is_width(bits).then_some(Self::Int(bits))?
                } else {
                    (is_name(name) && !is_reserved(name)).then(|| Self::Struct(name.to_owned()))?
                }
            }
        })
    }

    fn struct_name(&self) -> Option<&str> {
        match self {
            Self::Struct(name) => Some(name),
            Self::Array(element, _) => element.struct_name(),
            Self::Bool
            | Self::Address
            | Self::Text
            | Self::Bytes
            | Self::FixedBytes(_)
            | Self::Uint(_)
            | Self::Int(_) => None,
        }
    }
}

fn is_width(bits: usize) -> bool {
    (8..=256).contains(&bits) && bits.is_multiple_of(8)
}

/// A number without leading zeros.
fn decimal(digits: &str) -> Option<usize> {
    let number = digits.parse::<usize>().ok()?;
    (number.to_string() == digits).then_some(number)
}

fn is_name(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'$';
    name.len() <= MAX_NAME_BYTES
        && name.bytes().all(word)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
}

/// Names that are, or look like, those of built-in types.
fn is_reserved(name: &str) -> bool {
    let tail_of = |prefix| name.strip_prefix(prefix).is_some_and(|tail: &str| tail.bytes().all(|b| b.is_ascii_digit()));
    matches!(name, "bool" | "address" | "string" | "function" | "fixed" | "ufixed" | "byte")
        || tail_of("bytes")
        || tail_of("uint")
        || tail_of("int")
}
