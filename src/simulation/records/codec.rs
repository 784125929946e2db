//! Records as bytes: a kind, a length, what it says, and its number, which takes the place of a seal.

/// A record says no more.
pub(super) const PAYLOAD_MAX: usize = 16 * 1024;
const HEAD: usize = 3;
/// What stands behind what a record says.
const TAIL: usize = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    /// Nothing that concerns the receiver.
    Notice,
    /// The receiver is to answer before its next data.
    Ask,
    Answer,
    /// Nothing follows.
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

/// Takes records apart.
#[derive(Debug, Default)]
pub(super) struct Opener {
    sealed: Vec<u8>,
    /// Those before it are opened.
    at: usize,
    number: u8,
}

/// What has come is no record, or not the next one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Opener {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.sealed.drain(..self.at);
        self.at = 0;
        self.sealed.extend_from_slice(bytes);
    }

    /// The next record, once all of it has come. What it says goes behind `data` where it is that.
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
