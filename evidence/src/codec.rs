//! Bytes with one encoding: fixed big-endian integers, counted lists, nothing optional about how a value is written.

/// Why bytes are not the encoding of anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end inside a field.
    #[error("the bytes end inside the field {field}")]
    Truncated {
        /// Which field.
        field: &'static str,
    },
    /// Bytes after the last field.
    #[error("{count} bytes follow the last field")]
    Surplus {
        /// How many.
        count: usize,
    },
    /// A field with a value that it cannot have.
    #[error("the field {field} is not {form}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it must be.
        form: &'static str,
    },
}

/// Takes fields off the front.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Truncated { field })?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Truncated { field })?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        self.array(field).map(u8::from_be_bytes)
    }
    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        self.array(field).map(u32::from_be_bytes)
    }
    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, Malformed> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// One byte of length, then text that `make` accepts.
    pub(crate) fn name<T, E>(
        &mut self,
        field: &'static str,
        make: impl FnOnce(String) -> Result<T, E>,
    ) -> Result<T, Malformed> {
        let length = self.u8(field)?;
        let bytes = self.take(field, usize::from(length))?;
        let text = std::str::from_utf8(bytes).ok().and_then(|text| make(text.to_owned()).ok());
        text.ok_or(Malformed::Field { field, form: "a name" })
    }

    /// Four bytes of length, then bytes.
    pub(crate) fn blob(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.u32(field)?).unwrap_or(usize::MAX);
        if length > limit {
            return Err(Malformed::Field { field, form: "within its limit of size" });
        }
        self.take(field, length)
    }

    pub(crate) const fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Surplus { count: self.rest.len() }) }
    }
}

/// Appends a name of at most 255 bytes, as all names are.
pub(crate) fn put_name(out: &mut Vec<u8>, name: &str) {
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name.as_bytes());
}

/// Appends bytes with four bytes of length.
pub(crate) fn put_blob(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}
