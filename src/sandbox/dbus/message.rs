//! Encoding of D-Bus messages: the part of the format that a client of systemd needs, in little-endian order.
//!
//! See "Message Protocol" in the D-Bus specification. Alignment counts from the start of a message, and a body starts
//! at a multiple of eight, so a body can be encoded and decoded by itself.

use std::io;

/// The longest message accepted, in bytes; systemd's are much shorter.
pub(super) const MAX_MESSAGE: usize = 1 << 20;
/// The fixed part of a header, which determines the length of the rest.
pub(crate) const FIXED: usize = 16;

const METHOD_CALL: u8 = 1;

/// The type of a received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BusMessageType {
    Return,
    Error,
    Signal,
    /// A method call or an unknown type; ignored.
    Other,
}

#[derive(Debug)]
pub(crate) struct BusMessage {
    pub kind: BusMessageType,
    /// The serial number of the call that this replies to.
    pub(crate) reply_to: Option<u32>,
    /// The method or signal.
    pub member: String,
    /// The error name, if it is an error.
    pub error: String,
    /// The encoded arguments.
    pub body: Vec<u8>,
}

/// Encodes arguments. Each method is named after a type and documents its signature.
#[derive(Debug, Default)]
pub(crate) struct ArgWriter(Vec<u8>);

impl ArgWriter {
    /// `u`
    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.align(4);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// `b`
    pub(crate) fn boolean(&mut self, value: bool) -> &mut Self {
        self.u32(u32::from(value))
    }

    /// `s`
    pub(crate) fn string(&mut self, text: &str) -> &mut Self {
        self.u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.extend(text.bytes());
        self.0.push(0);
        self
    }

    /// `g`; also the start of a variant.
    pub(crate) fn signature(&mut self, text: &str) -> &mut Self {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend(text.bytes());
        self.0.push(0);
        self
    }

    /// `a…`, with elements of this alignment.
    pub(crate) fn array(&mut self, alignment: usize, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.u32(0);
        // Written at the end: the length counts neither itself nor the padding before the elements.
        let length_at = self.0.len() - 4;
        self.align(alignment);
        let start = self.0.len();
        fill(self);
        let length = u32::try_from(self.0.len() - start).unwrap_or(u32::MAX);
        if let Some(field) = self.0.get_mut(length_at..length_at + 4) {
            field.copy_from_slice(&length.to_le_bytes());
        }
        self
    }

    /// `(…)`; also a header field.
    pub(crate) fn structure(&mut self, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.align(8);
        fill(self);
        self
    }

    fn align(&mut self, alignment: usize) {
        self.0.resize(self.0.len().next_multiple_of(alignment), 0);
    }
}

/// A method of an object, or a property.
pub(crate) struct MethodCall<'a> {
    /// The bus name of the service.
    pub destination: &'a str,
    pub path: &'a str,
    pub interface: &'a str,
    pub member: &'a str,
    /// Signature of the arguments.
    pub signature: &'a str,
}

pub(super) fn encode(call: &MethodCall<'_>, serial: u32, body: &ArgWriter) -> Vec<u8> {
    // Little-endian, no flags, protocol version 1.
    let mut header = ArgWriter(vec![b'l', METHOD_CALL, 0, 1]);
    header.u32(u32::try_from(body.0.len()).unwrap_or(u32::MAX)).u32(serial);
    header.array(8, |fields| {
        let mut field = |code: u8, kind: &str, value: &str| {
            fields.structure(|field| {
                field.0.push(code);
                field.signature(kind);
                if kind == "g" {
                    field.signature(value)
                } else {
                    field.string(value)
                };
            });
        };
        // Codes of the header fields: PATH, INTERFACE, MEMBER, DESTINATION, SIGNATURE.
        field(1, "o", call.path);
        field(2, "s", call.interface);
        field(3, "s", call.member);
        field(6, "s", call.destination);
        if !call.signature.is_empty() {
            field(8, "g", call.signature);
        }
    });
    header.align(8);
    header.0.extend(&body.0);
    header.0
}

/// Length of the whole message, from its first [`FIXED`] bytes.
pub(super) fn length(fixed: &[u8]) -> io::Result<usize> {
    // A peer may choose the byte order; systemd uses the machine's, which is little-endian.
    if fixed.first() != Some(&b'l') {
        return Err(malformed());
    }
    let mut reader = ArgReader::new(fixed, 4);
    let body = reader.u32()? as usize;
    reader.u32()?;
    let fields = reader.u32()? as usize;
    let header = FIXED.checked_add(fields).ok_or_else(malformed)?.next_multiple_of(8);
    match header.checked_add(body) {
        Some(length) if length <= MAX_MESSAGE => Ok(length),
        _ => Err(malformed()),
    }
}

pub(super) fn decode(bytes: &[u8]) -> io::Result<BusMessage> {
    let mut reader = ArgReader::new(bytes, 4);
    let body_length = reader.u32()? as usize;
    reader.u32()?;
    let fields = reader.u32()? as usize;
    let end = reader.at.checked_add(fields).ok_or_else(malformed)?;
    let kind = match bytes.get(1) {
        Some(2) => BusMessageType::Return,
        Some(3) => BusMessageType::Error,
        Some(4) => BusMessageType::Signal,
        _ => BusMessageType::Other,
    };
    let mut message =
        BusMessage { kind, reply_to: None, member: String::new(), error: String::new(), body: Vec::new() };
    while reader.at < end {
        reader.align(8)?;
        let code = reader.byte()?;
        let signature = reader.signature()?;
        match (code, signature.as_str()) {
            (5, "u") => message.reply_to = Some(reader.u32()?),
            (3, "s") => message.member = reader.string()?,
            (4, "s") => message.error = reader.string()?,
            // Not needed, but its type tells how much to skip.
            (_, "s" | "o") => drop(reader.string()?),
            (_, "g") => drop(reader.signature()?),
            (_, "u") => drop(reader.u32()?),
            _ => return Err(malformed()),
        }
    }
    reader.align(8)?;
    let body = bytes.get(reader.at..).filter(|body| body.len() == body_length).ok_or_else(malformed)?;
    message.body = body.to_vec();
    Ok(message)
}

/// Decodes arguments.
pub(crate) struct ArgReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ArgReader<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// `u`
    pub(crate) fn u32(&mut self) -> io::Result<u32> {
        self.align(4)?;
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| malformed())?))
    }

    /// `s` and `o`
    pub(crate) fn string(&mut self) -> io::Result<String> {
        let length = self.u32()? as usize;
        self.text(length)
    }

    /// `g`; also the start of a variant.
    pub(crate) fn signature(&mut self) -> io::Result<String> {
        let length = usize::from(self.byte()?);
        self.text(length)
    }

    /// `as`
    pub(crate) fn strings(&mut self) -> io::Result<Vec<String>> {
        let length = self.u32()? as usize;
        let end = self.at.checked_add(length).ok_or_else(malformed)?;
        let mut strings = Vec::new();
        while self.at < end {
            strings.push(self.string()?);
        }
        Ok(strings)
    }

    fn text(&mut self, length: usize) -> io::Result<String> {
        let text = self.take(length)?.to_vec();
        if self.byte()? != 0 {
            return Err(malformed());
        }
        String::from_utf8(text).map_err(|_| malformed())
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.take(1)?.first().copied().ok_or_else(malformed)
    }

    fn align(&mut self, alignment: usize) -> io::Result<()> {
        let gap = self.at.next_multiple_of(alignment) - self.at;
        self.take(gap).map(drop)
    }

    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or_else(malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or_else(malformed)?;
        self.at = end;
        Ok(taken)
    }
}

pub(super) fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message that is not D-Bus")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: MethodCall<'_> = MethodCall {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: "Hello",
        signature: "",
    };

    #[test]
    fn a_call_is_written_as_the_specification_draws_it() {
        let bytes = encode(&HELLO, 7, &ArgWriter::default());
        // Order, type, flags, version; length of the body; serial; length of the fields.
        assert_eq!(bytes[..16], [b'l', 1, 0, 1, 0, 0, 0, 0, 7, 0, 0, 0, 109, 0, 0, 0]);
        // The first field: the path, of type `o`, and its length.
        assert_eq!(bytes[16..24], [1, 1, b'o', 0, 21, 0, 0, 0]);
        assert_eq!(bytes.len() % 8, 0);
        assert_eq!(length(&bytes).unwrap(), bytes.len());
        assert_eq!(decode(&bytes).unwrap().member, "Hello");
    }

    #[test]
    fn arguments_come_back() {
        let mut body = ArgWriter::default();
        body.string("name").boolean(true).array(4, |list| {
            list.string("a").string("bc");
        });
        let bytes = encode(&MethodCall { signature: "sbas", ..HELLO }, 1, &body);
        let message = decode(&bytes).unwrap();
        let mut reader = ArgReader::new(&message.body, 0);
        assert_eq!(reader.string().unwrap(), "name");
        assert_eq!(reader.u32().unwrap(), 1);
        assert_eq!(reader.strings().unwrap(), ["a", "bc"]);
        assert!(reader.u32().is_err());
    }

    #[test]
    fn structures_and_empty_arrays_keep_their_alignment() {
        let mut body = ArgWriter::default();
        body.string("x").array(8, |list| {
            list.structure(|entry| {
                entry.string("P").signature("u").u32(5);
            });
        });
        body.array(8, |_| {});
        // "x" takes 6 bytes, the length of the array follows at 8, its first element at 16.
        assert_eq!(body.0[8..12], [16, 0, 0, 0]);
        assert_eq!(body.0[16..24], [1, 0, 0, 0, b'P', 0, 1, b'u']);
        assert_eq!(body.0.len(), 40);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(length(b"B\x01\0\x01\0\0\0\0\0\0\0\0\0\0\0\0").is_err());
        assert!(length(b"l\x01\0\x01\xff\xff\xff\xff\0\0\0\0\0\0\0\0").is_err());
        let good = encode(&HELLO, 1, &ArgWriter::default());
        for end in 0..good.len() {
            assert!(decode(&good[..end]).is_err(), "{end}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            // It may be readable all the same; it must not panic.
            let _ = decode(&bad);
        }
    }
}
