//! Numbers to bytes and back, little-endian, lengths first: how states and staged images travel and are stored.
//! Knows nothing of what the numbers mean; believes no length before it has seen that the bytes are there.

/// The bytes end before what they announce, or go on after it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} bytes where {want} were announced")]
pub struct Short {
    pub got: usize,
    pub want: usize,
}

#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    pub fn f32s(&mut self, values: &[f32]) {
        self.u64(values.len() as u64);
        self.0.reserve(values.len() * 4);
        values.iter().for_each(|value| self.0.extend_from_slice(&value.to_le_bytes()));
    }

    #[must_use]
    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, want: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.0.split_at_checked(want).ok_or(Short { got: self.0.len(), want })?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn u64(&mut self) -> Result<u64, Short> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| Short { got: bytes.len(), want: 8 })?))
    }

    pub fn u32(&mut self) -> Result<u32, Short> {
        let value = self.u64()?;
        value.try_into().map_err(|_| Short { got: self.0.len(), want: usize::MAX })
    }

    /// A number of things that take at least `each` bytes; more than the bytes can hold is refused here.
    pub fn count(&mut self, each: usize) -> Result<usize, Short> {
        let n = usize::try_from(self.u64()?).unwrap_or(usize::MAX);
        let want = n.saturating_mul(each);
        if want > self.0.len() { Err(Short { got: self.0.len(), want }) } else { Ok(n) }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Short> {
        let n = self.count(1)?;
        self.take(n)
    }

    pub fn f32s(&mut self) -> Result<Vec<f32>, Short> {
        let n = self.count(4)?;
        let bytes = self.take(n * 4)?;
        Ok(bytes.chunks_exact(4).map(|value| f32::from_le_bytes([value[0], value[1], value[2], value[3]])).collect())
    }

    pub fn end(self) -> Result<(), Short> {
        if self.0.is_empty() { Ok(()) } else { Err(Short { got: self.0.len(), want: 0 }) }
    }
}
