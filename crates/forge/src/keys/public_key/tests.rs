//! Lines made by ssh-keygen (OpenSSH 9.2), their fingerprints as `ssh-keygen -l` prints them. The private halves are gone;
//! the lines of security keys were put together around such points.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{KeyAlgorithm, ParseKeyError, PublicKey};

const ACCEPTED: [(&str, &str, KeyAlgorithm); 8] = [
    (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC96n2oKLx8U6DiIJkIN/vJ9Juynj4yBknxmVlCqerbX test@ed25519",
        "SHA256:loh9/WfI6jfP2JxAhIO1DMXBBK3LdMdcTq2/Hgt2yj8",
        KeyAlgorithm::Ed25519,
    ),
    (
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBDdRMGx3YCzwO+PZAzVusEUidYSk/UgndYZThNl4rqaK+HG+ZhDJtNRI54L/eNRXqStks1t+GZQkgqA46PMJ2Lo= test@ecdsa-b256",
        "SHA256:FgrPZxoddXzTcDY/TJZtEiPsfFefh+YpVzVuMfed08g",
        KeyAlgorithm::Ecdsa { bits: 256 },
    ),
    (
        "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBKVu6fcYkaA9CNM6kp+4qUsBj0iBnpGGecltqdFl874r6GnRw0b5Q1GEHgM/nzijKDh0Vj4CehCBJbR0WbZlaj2EO2sjfs+LxN+fnfhbfg43BkmBKv1v6z+Mg/xzoWeiwQ== test@ecdsa-b384",
        "SHA256:+UojlgaVzi9ZkuoXe0cAzCO6rc7pBY+o1Q9covBVB7w",
        KeyAlgorithm::Ecdsa { bits: 384 },
    ),
    (
        "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBABp1YTYf3ccfEEu1Wjw2NkW/aeYhgZ++DMtsFnBQLxV5P4QBJqQPjSiJuh84+1Nv6JUa8ym0CcoiqjDBVgrVbMyLgBiADESjFZyzszDCIn/6i8hcOHfgbAlqY/fRWD8+sI/a7RGEazgodJlO7tQRaoBCpV62E3XgwJJpSXb9NGfU1USsQ== test@ecdsa-b521",
        "SHA256:EwCqq9XEJWqWWXK6a+KclBHDIDQQrPhNp2QtaedmhUs",
        KeyAlgorithm::Ecdsa { bits: 521 },
    ),
    (
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC8Q7Eu7d5CNt3rXrNgCuu8xtm5bZFOhN323+EIHKXyIvx0BXSSEmvnGSKcC8nt/jAkRc+eEr47qtVZjL1izw6bd72TSXUz/2vtfbv2ii4HekIORYvrT/lNSRt0E24JG9QEtad6E38qwgcH0Y1dcGHzTD6AFp/JTN76Cpar7lacEf0WYi/QzDYMJ+0/AsXsdJRPbTuLMvHJoEYDJ2TumHVOfavnAmROxt7cbsEDW/vVFNLNAGHt9fH3EV1tngVdLbFVyEAL9p/kdoRHO5wQqCbl2LeXWphp1SyH4q+CfZETHqhAC95jNJcJDTrgbKouo2AopMJyjmSdFAMymXQF9RMedanVai4hQfTvhkHn6rGjYFNTgAZb/lvg06Pbb3NEXjP8EMvLa1+d03DLwR06aU3qZQf2r1/D0rx+S/xnwLgnJmkbOFerlPdzPIsYpmfEs1pF9L0Zf7BllFLLMCsXbQoBA21x4V7o1G+f7oGykWFgv0UKUeWq8VRHW8x/j7kb4N0= test@rsa-b3072",
        "SHA256:s6wjGZ1+TCS+Enqvx7A4iG5KfmtTsAym9y71ul3syMA",
        KeyAlgorithm::Rsa { bits: 3072 },
    ),
    (
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAACAQDIn16C3JvpDIU0HGhX+H4M4f+AFQVeVbHglXVJwQYsAHPp1J2P3R9Qc4WvhTyfOSfwGSMfD/G6npH9OnnYpxCHu9CROBwvD4eYDCQaCttITJdLwA5gkTqRn71uXzo3iQSHBV7dwni00FS3eB/MF6J3e6BD09tJOLx7GB67O+/Dewh3Ihp4qosQgk5VTlN+ICcPN3lfpb7IUTEcx2GJQwLGWb4jdtEFp3QmuTmMausQmmbn5dN/Adb0XL6ZttX1vj55Q0t23LW3jB87sBYtNaquYdv7RG5ZtXw7rihSjIWGpce8biJNFD/cMcqZ+MZV5rLgNFQuhEN2chzlwrgqf8aSR63ce2u8Ej10H5hAv7DatpxJ6+R/OPbB2eD3M7Ep2BMBmVlVNJj/hzV9CkAHFWyjIXzYznwGDlhY8nHpxvJmzsJmdSQ00B+/l+KDcFwdHmSKTFjdwNxDrTGxMyBHt24y7adWgjyNvMNquQd/IAF9dgYu1bpwy5lsffUhe69bmhaSu0H8kiL1TTPcoqm/CMauqGYshc9f/p+lTyG9VOPAcbvlOR4Ggn6HdK3Cs7VyRTawNFGDf4+Ey26+GQJFVp1qcOPDynU5i0VUKbDcQQPj+6PPf3yroD2ioBaAUgQIHrHtRTk+H2dunKX6YfNSDyxzUimks2sE0bO+lnuG9wnKgw== test@rsa-b4096",
        "SHA256:mAddVEV+iIIWU1PsCA3vt0/H//a20XvSVVQD2wp4fpQ",
        KeyAlgorithm::Rsa { bits: 4096 },
    ),
    (
        "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fAAAABHNzaDo= token",
        "SHA256:/p0CbeE3dk2SyW1OXXsThGc12ezDVD8eGw2/vtztDfk",
        KeyAlgorithm::SkEd25519,
    ),
    (
        "sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyNTYAAABBBDdRMGx3YCzwO+PZAzVusEUidYSk/UgndYZThNl4rqaK+HG+ZhDJtNRI54L/eNRXqStks1t+GZQkgqA46PMJ2LoAAAAEc3NoOg== token",
        "SHA256:Ckl23dAUMXVfZ3RlVNyquWwxUn5ZHYD57D8MXwS+53M",
        KeyAlgorithm::SkEcdsa,
    ),
];

const DSA: &str = "ssh-dss AAAAB3NzaC1kc3MAAACBANCgXXaG7HrGRKGYMhJqVltsfFZhEMvWRgU3U7ekCnSlslqXwMG/Hn4GuTpdzlY/pKExy8DZFp/e0XPL3gA6taYgXj23DBW+YHvCO7VqSfnK8H1OQj1NY1JoNz3d4LukZ0pel2Xpg0qzEJKwVJ/OsnRA+9HGpQvtFb8kDwKnXgkRAAAAFQCL4J1IC6pMf3GEWdwiJECzUJf8UQAAAIAjJRlgHGyr2lG83Yl2flZHGxsTL1RyTvuvyg2VSH5f6sNs4AcZORbvWbR/SUCpsMWX/N2TxvzwrAgVGq+Lw/yvv4AeV2v3Tip1oYHcpr4cnLe4pZQpZxjkcyOG7oWtqd7ERzC6b4oDrz+XTL6ud3JLclL/l6OUi73vP3ASm54UPgAAAIEArYGuw29dN/McCscSF8I1luthXRdkDe3j8+TtrtHGRDc2j5I9IZoLkaS/D+WJjFTN8nKE+NuzsUW6jLV5FxB36jrR7MQAEMWLH0KnUj8nuj3Qr2kJ+5oiYy+FMfhYuxsNLnrywPKucMDNLuyOVOC1Rx8JHa9CyGrQEyYVT96gZ3Y= test@dsa";

const RSA_2048: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC/iLuq/d+l2DtI/UuQRIZYpMgi5NiJv6Q9WPRhgQHJ4KyMRWMkOx9L4geVzQhW6T+mUotHjy+xgD3Py340Q5UrhuglNUGB8AYI6jMwdbqjGBnhbxkL4yX0wmTXf7lKBV3AJwGI+7nwHxvyjsRLxCuvY3hJy7ieOzIqtb+vpHzjDQ7QLizibttzilIzUYhwXkuxDP02hhxxgAOktSjENDiYR69rmFcYeCNdsec1N46PYGLrf7h2rebbb5u1iuCVfgbkckZW0EjaX8PqtdRUEvv0zeOG4AR51rqG0PCaTx/l7KNg2CuAuFNqw2n+kjvzghSgocIsQxq/4htl6XOnclHz test@rsa-b2048";

const CERTIFICATE: &str = "ecdsa-sha2-nistp256-cert-v01@openssh.com AAAAKGVjZHNhLXNoYTItbmlzdHAyNTYtY2VydC12MDFAb3BlbnNzaC5jb20AAAAgV0Qagd39ZZqGW0q+puvhqRuINbmZHLXNmFffk2b9jhAAAAAIbmlzdHAyNTYAAABBBDdRMGx3YCzwO+PZAzVusEUidYSk/UgndYZThNl4rqaK+HG+ZhDJtNRI54L/eNRXqStks1t+GZQkgqA46PMJ2LoAAAAAAAAAAAAAAAEAAAACbWUAAAAJAAAABWFsaWNlAAAAAAAAAAD//////////wAAAAAAAACCAAAAFXBlcm1pdC1YMTEtZm9yd2FyZGluZwAAAAAAAAAXcGVybWl0LWFnZW50LWZvcndhcmRpbmcAAAAAAAAAFnBlcm1pdC1wb3J0LWZvcndhcmRpbmcAAAAAAAAACnBlcm1pdC1wdHkAAAAAAAAADnBlcm1pdC11c2VyLXJjAAAAAAAAAAAAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIC96n2oKLx8U6DiIJkIN/vJ9Juynj4yBknxmVlCqerbXAAAAUwAAAAtzc2gtZWQyNTUxOQAAAEC50Az0lYBw6DkgMJsh++PZUX2kS3MVniWoc7K0EFBKMV6dQ2Ml5FfxG9G9WPByOZp6T/oJrzoBmnZGNEH5bXwC test@ecdsa-b256";

#[test]
fn keys_of_every_kind_parse_with_the_fingerprint_that_ssh_shows() {
    for (line, fingerprint, algorithm) in ACCEPTED {
        let key = PublicKey::parse(line).unwrap();
        assert_eq!((key.algorithm, key.fingerprint().as_str()), (algorithm, fingerprint));
        assert!(line.starts_with(&key.line()) && line.ends_with(&key.comment) && !key.comment.is_empty());
        assert_eq!(PublicKey::parse_blob(&key.blob).unwrap().algorithm, algorithm);
    }
}

#[test]
fn refusals_name_their_reason() {
    assert_eq!(PublicKey::parse(DSA), Err(ParseKeyError::Dsa));
    assert_eq!(PublicKey::parse(RSA_2048), Err(ParseKeyError::SmallRsa(2048)));
    assert_eq!(PublicKey::parse(CERTIFICATE), Err(ParseKeyError::Certificate));
    let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END OPENSSH PRIVATE KEY-----";
    assert_eq!(PublicKey::parse(private), Err(ParseKeyError::PrivateKey));
    let unknown = line_of(&[b"ssh-new", b"x"]);
    assert_eq!(PublicKey::parse(&unknown), Err(ParseKeyError::Unsupported("ssh-new".into())));
}

#[test]
fn damaged_lines_are_refused() {
    let (good, ..) = ACCEPTED[0];
    let base64 = good.split(' ').nth(1).unwrap();
    let cases = [
        String::new(),
        "ssh-ed25519".to_owned(),
        format!("ssh-ed25519 {}", &base64[..40]),
        format!("ssh-rsa {base64}"),
        format!("ssh-ed25519 {base64}AAAA"),
        format!("ssh-ed25519 !{base64}"),
        format!("command=\"/bin/sh\" ssh-ed25519 {base64}"),
        format!("{good}\n{good}"),
        "x".repeat(10_000),
        line_of(&[b"ssh-ed25519", &[0; 31]]),
        line_of(&[b"ssh-ed25519", &[0; 32], b"more"]),
        line_of(&[b"ecdsa-sha2-nistp256", b"nistp384", &[4; 65]]),
        line_of(&[b"ecdsa-sha2-nistp256", b"nistp256", &[2; 65]]),
        line_of(&[b"ssh-rsa", &[1, 0, 1], &[]]),
        line_of(&[b"ssh-rsa", &[1, 0, 1], &[0x80; 384]]),
        line_of(&[b"ssh-rsa", &[1], &[0x70; 384]]),
        line_of(&[b"ssh-rsa", &[1, 0, 1], &[0x70; 3_000]]),
        line_of(&[b"ssh-rsa", &[0, 0, 1, 1], &[0x70; 384]]),
        line_of(&[b"sk-ssh-ed25519@openssh.com", &[0; 32], b""]),
    ];
    for line in cases {
        assert!(PublicKey::parse(&line).is_err(), "{line}");
    }
}

#[test]
fn every_cut_of_a_blob_is_refused() {
    for (line, ..) in ACCEPTED {
        let blob = PublicKey::parse(line).unwrap().blob;
        for end in 0..blob.len() {
            assert!(PublicKey::parse_blob(&blob[..end]).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn comments_cannot_paint_the_terminal() {
    let (good, ..) = ACCEPTED[0];
    let bare = good.rsplit_once(' ').unwrap().0;
    let key = PublicKey::parse(&format!("{bare} me\u{1b}[31m")).unwrap();
    assert_eq!(key.comment, "me\\u{1b}[31m");
}

fn line_of(parts: &[&[u8]]) -> String {
    let mut blob = Vec::new();
    for part in parts {
        blob.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
        blob.extend_from_slice(part);
    }
    format!("{} {}", String::from_utf8_lossy(parts[0]), STANDARD.encode(&blob))
}
