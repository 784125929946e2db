//! Records as bytes: a kind, a length, the payload, and its number, which takes the place of a seal.

/// The longest payload.
pub(super) const PAYLOAD_MAX: usize = 16 * 1024;
const HEAD: usize = 3;
/// The bytes behind the payload.
const TAIL: usize = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    /// A record that the receiver ignores.
    Notice,
    /// The receiver must answer before its next data.
    Ask,
    Answer,
    /// The end: nothing follows.
    End,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Kind::Data => 0xd7,
            Kind::Notice => 0xd6,
            Kind::Ask => 0xd5,
            Kind::Answer => 0xd4,
            Kind::End => 0xd3,
        }
    }

    fn of(byte: u8) -> Option<Kind> {
        [Kind::Data, Kind::Notice, Kind::Ask, Kind::Answer, Kind::End]
            .into_iter()
            .find(|kind| kind.byte() == byte)
    }
}

/// Makes records.
#[derive(Debug, Default)]
pub(super) struct Sealer {
    number: u8,
}

impl Sealer {
    pub(super) fn seal(&mut self, kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
        let length = u16::try_from(payload.len()).expect("no record is that long");
        out.push(kind.byte());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(payload);
        out.push(self.number);
        self.number = self.number.wrapping_add(1);
    }
}

/// Opens records.
#[derive(Debug, Default)]
pub(super) struct Opener {
    sealed: Vec<u8>,
    /// Bytes before this index are opened.
    at: usize,
    number: u8,
}

/// The bytes are no record, or not the next one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Opener {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.sealed.drain(..self.at);
        self.at = 0;
        self.sealed.extend_from_slice(bytes);
    }

    /// The next record, once all of it has come. The payload of a data record is appended to `data`.
    pub(super) fn open(&mut self, data: &mut Vec<u8>) -> Result<Option<Kind>, Broken> {
        let rest = &self.sealed[self.at..];
        let Some((&first, _)) = rest.split_first() else { return Ok(None) };
        let kind = Kind::of(first).ok_or(Broken)?;
        let &[_, high, low, ..] = rest else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > PAYLOAD_MAX {
            return Err(Broken);
        }
        let Some(record) = rest.get(..HEAD + length + TAIL) else { return Ok(None) };
        if record[HEAD + length] != self.number {
            return Err(Broken);
        }
        if kind == Kind::Data {
            data.extend_from_slice(&record[HEAD..HEAD + length]);
        }
        self.number = self.number.wrapping_add(1);
        self.at += record.len();
        Ok(Some(kind))
    }
}
