//! Types of records, and what they are called.

pub const A: u16 = 1;
pub const PTR: u16 = 12;
/// RFC 3596.
pub const AAAA: u16 = 28;
/// The pseudo-record of EDNS (RFC 6891, section 6.1).
pub const OPT: u16 = 41;

/// Types from IANA's registry of DNS parameters that programs ask for.
const TYPE_NAMES: &[(u16, &str)] = &[
    (A, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (10, "NULL"),
    (PTR, "PTR"),
    (13, "HINFO"),
    (15, "MX"),
    (16, "TXT"),
    (24, "SIG"),
    (25, "KEY"),
    (AAAA, "AAAA"),
    (29, "LOC"),
    (33, "SRV"),
    (35, "NAPTR"),
    (37, "CERT"),
    (39, "DNAME"),
    (OPT, "OPT"),
    (43, "DS"),
    (44, "SSHFP"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (53, "SMIMEA"),
    (59, "CDS"),
    (60, "CDNSKEY"),
    (61, "OPENPGPKEY"),
    (62, "CSYNC"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (255, "ANY"),
    (256, "URI"),
    (257, "CAA"),
];

/// The name of a record type, such as `AAAA`; `TYPE4711` if it is not a common one (RFC 3597, section 5).
pub fn type_name(kind: u16) -> String {
    let known = TYPE_NAMES.iter().find(|(number, _)| *number == kind);
    known.map_or_else(|| format!("TYPE{kind}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::RecordType;

    use super::*;

    #[test]
    fn names_of_types() {
        for kind in 1..=300 {
            let named = RecordType::from(kind);
            let expected = match kind {
                29 => "LOC".into(),
                256 => "URI".into(),
                _ if matches!(named, RecordType::Unknown(_)) => format!("TYPE{kind}"),
                _ => named.to_string(),
            };
            assert_eq!(type_name(kind), expected);
        }
        assert_eq!(type_name(u16::MAX), "TYPE65535");
    }
}
