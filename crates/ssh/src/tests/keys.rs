use super::harness::{Harness, finish, text};

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_accepted_kind_sign_in_under_any_user_name() {
    let harness = Harness::start().await;
    for (name, kind) in [
        ("ed25519", ["-t", "ed25519"].as_slice()),
        ("ecdsa256", &["-t", "ecdsa", "-b", "256"]),
        ("ecdsa384", &["-t", "ecdsa", "-b", "384"]),
        ("ecdsa521", &["-t", "ecdsa", "-b", "521"]),
        ("rsa3072", &["-t", "rsa", "-b", "3072"]),
    ] {
        harness.make_key(name, kind).await;
        harness.allow(name, "bob");
        for user in ["git", "root", "somebody else"] {
            let output = finish(harness.ssh_as(&[name], &["-l", user]).arg("whoami")).await;
            assert_eq!(text(&output.stdout), "name: bob\n", "{name} {user}: {}", text(&output.stderr));
        }
    }
    for algorithm in ["rsa-sha2-256", "rsa-sha2-512"] {
        let option = format!("PubkeyAcceptedAlgorithms={algorithm}");
        let output = finish(harness.ssh_as(&["rsa3072"], &["-o", &option]).arg("whoami")).await;
        assert!(output.status.success(), "{algorithm}: {}", text(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_with_its_fingerprint_and_what_to_do() {
    let harness = Harness::start().await;
    harness.make_key("stranger", &["-t", "ed25519"]).await;
    let output = finish(harness.ssh_as(&["stranger"], &[]).arg("whoami")).await;
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(255), "{stderr}");
    assert!(stderr.contains(&harness.fingerprint("stranger")), "{stderr}");
    assert!(stderr.contains("hakata key add"), "{stderr}");
    assert!(stderr.contains("Permission denied (publickey)."), "{stderr}");
    assert!(output.stdout.is_empty());
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_offer_several_keys_and_no_hint_is_shown_when_one_fits() {
    let harness = Harness::start().await;
    let mut keys = vec![];
    for name in ["one", "two", "three", "four"] {
        harness.make_key(name, &["-t", "ed25519"]).await;
        keys.push(name);
    }
    keys.push("alice");
    let output = finish(harness.ssh_as(&keys, &[]).arg("whoami")).await;
    assert_eq!(text(&output.stdout), "name: alice\n", "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sixth_refusal_ends_the_connection_with_the_hint() {
    let harness = Harness::start().await;
    let names: Vec<String> = (0..7).map(|n| format!("key{n}")).collect();
    for name in &names {
        harness.make_key(name, &["-t", "ed25519"]).await;
    }
    let mut keys: Vec<&str> = names.iter().map(String::as_str).collect();
    keys.push("alice");
    let output = finish(harness.ssh_as(&keys, &[]).arg("whoami")).await;
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(255), "the right key came too late: {stderr}");
    assert!(stderr.contains(&harness.fingerprint("key5")), "{stderr}");
    assert!(!stderr.contains(&harness.fingerprint("key6")), "the seventh was not heard: {stderr}");
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weak_keys_and_signatures_are_refused_with_the_reason() {
    let harness = Harness::start().await;
    harness.make_key("small", &["-t", "rsa", "-b", "2048"]).await;
    let output = finish(harness.ssh_as(&["small"], &[]).arg("whoami")).await;
    let stderr = text(&output.stderr);
    assert!(!output.status.success() && stderr.contains("2048 bits"), "{stderr}");

    harness.make_key("large", &["-t", "rsa", "-b", "3072"]).await;
    harness.allow("large", "bob");
    let sha1 =
        finish(harness.ssh_as(&["large"], &["-o", "PubkeyAcceptedAlgorithms=ssh-rsa"]).arg("whoami")).await;
    assert!(!sha1.status.success(), "a SHA-1 signature was accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_public_keys_are_offered_and_passwords_are_refused() {
    let harness = Harness::start().await;
    for method in ["none", "password", "keyboard-interactive", "hostbased"] {
        let option = format!("PreferredAuthentications={method}");
        let output = finish(harness.ssh_as(&[], &["-o", &option, "-o", "BatchMode=yes"]).arg("whoami")).await;
        let stderr = text(&output.stderr);
        assert!(stderr.contains("Permission denied (publickey)."), "{method}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_refused_and_the_plain_key_behind_it_works() {
    let harness = Harness::start().await;
    harness.make_key("authority", &["-t", "ed25519"]).await;
    let mut sign = tokio::process::Command::new("ssh-keygen");
    sign.args(["-q", "-s"]).arg(harness.path("authority")).args(["-I", "x", "-n", "git"]);
    assert!(sign.arg(harness.path("alice.pub")).status().await.unwrap().success());
    let only = "PubkeyAcceptedAlgorithms=ssh-ed25519-cert-v01@openssh.com";
    let output = finish(harness.ssh(&["-o", only]).arg("whoami")).await;
    assert!(!output.status.success(), "a certificate of an unknown authority signed in");
    let output = finish(harness.ssh(&[]).arg("whoami")).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_offer_holds_no_weak_algorithm() {
    let harness = Harness::start().await;
    for (option, accepted) in [
        ("KexAlgorithms=curve25519-sha256", true),
        ("KexAlgorithms=diffie-hellman-group14-sha1", false),
        ("KexAlgorithms=diffie-hellman-group14-sha256", false),
        ("KexAlgorithms=ecdh-sha2-nistp256", false),
        ("Ciphers=aes256-gcm@openssh.com", true),
        ("Ciphers=aes128-gcm@openssh.com", true),
        ("Ciphers=chacha20-poly1305@openssh.com", true),
        ("Ciphers=aes128-ctr", true),
        ("Ciphers=aes128-cbc", false),
        ("Ciphers=3des-cbc", false),
        ("MACs=hmac-sha1", false),
        ("MACs=hmac-sha2-256", false),
        ("MACs=hmac-sha2-256-etm@openssh.com", true),
        ("Compression=yes", true),
    ] {
        // A MAC is only negotiated for a cipher that has none of its own.
        let cipher: &[&str] = if option.starts_with("MACs") { &["-c", "aes256-ctr"] } else { &[] };
        let output = finish(harness.ssh(&["-o", option]).args(cipher).arg("whoami")).await;
        assert_eq!(output.status.success(), accepted, "{option}: {}", text(&output.stderr));
    }
}
