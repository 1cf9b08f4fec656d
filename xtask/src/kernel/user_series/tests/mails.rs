// SPDX-License-Identifier: MIT OR Apache-2.0
//! One mail: its encoding, its parts, what is no mail.

use super::*;

/// The one patch in a mail of this kind.
fn text_of(headers: &str, body: &[u8]) -> String {
    let head = mail("[PATCH] mm: one", headers, "");
    let bytes = [head.trim_end_matches('\n').as_bytes(), b"\n\n", body].concat();
    let mails = mail::read(&bytes, "x.eml").unwrap();
    let series = thread::series(mails, false).unwrap();
    assert_eq!(series.patches.len(), 1);
    String::from_utf8_lossy(&series.patches[0].1).into_owned()
}

/// As `text_of`, and the patch in it is whole and has the change.
#[track_caller]
fn is_whole(headers: &str, body: &[u8]) {
    let text = text_of(headers, body);
    assert_eq!(Diff::read(text.as_bytes()).unwrap().touches.len(), 1, "{text}");
    assert!(text.contains(&diff("2 \u{fc}")), "{text}");
    assert!(text.starts_with("From: A Hacker <a@b>\nSubject: [PATCH] mm: one\n\n"), "{text}");
}

#[test]
fn a_commit_message_may_have_lines_like_those_between_mails() {
    let text = body("x").replace("Why it is so.", "From now on it is so.\n>From here too.");
    let thread = mail("[PATCH 1/2] mm: a", "", &text) + &patch_mail("[PATCH 2/2] mm: b");
    let series = thread::series(mail::read(thread.as_bytes(), "x").unwrap(), false).unwrap();
    let text = String::from_utf8_lossy(&series.patches[0].1).into_owned();
    assert!(text.contains("\nFrom now on it is so.\nFrom here too.\n"), "{text}");
}

#[test]
fn a_body_may_be_encoded_in_every_way() {
    let plain = body("2 \u{fc}");
    is_whole("Content-Type: text/plain; charset=utf-8\n", plain.as_bytes());
    let printable =
        plain.replace('=', "=3D").replace('\u{fc}', "=C3=BC").replace("Why it", "Why =\nit");
    is_whole("Content-Transfer-Encoding: quoted-printable\n", printable.as_bytes());
    is_whole("", plain.replace('\n', "\r\n").as_bytes());
    let base64 = base64(plain.replace('\n', "\r\n").as_bytes());
    let header = "Content-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\n";
    is_whole(header, base64.as_bytes());
    // Bytes stay as they are in the file, whatever they are said to be.
    is_whole("Content-Type: text/plain; charset=us-ascii\n", plain.as_bytes());
    is_whole("Content-Type: text/plain; charset=iso-8859-1\n", plain.as_bytes());
}

#[test]
fn flowed_text_is_put_together_again() {
    let header = "Content-Type: text/plain; charset=utf-8; format=flowed\n";
    let stuffed: Vec<String> = body("2 \u{fc}")
        .lines()
        .map(|line| match line {
            "Why it is so." => "Why \nit is so.".to_owned(),
            line if line.starts_with(' ') => format!(" {line}"),
            line => line.to_owned(),
        })
        .collect();
    is_whole(header, stuffed.join("\n").as_bytes());
    assert!(text_of(header, stuffed.join("\n").as_bytes()).contains("\nWhy it is so.\n"));
    let cut = stuffed.join("\n").replace("Why \n", "Wh \ny ");
    let header = header.replace("flowed", "flowed; delsp=yes");
    assert!(text_of(&header, cut.as_bytes()).contains("\nWhy it is so.\n"));
    // Said, and not done.
    is_whole(&header, body("2 \u{fc}").as_bytes());
}

#[test]
fn a_patch_may_be_attached() {
    let part = |head: &str, text: &str| format!("--b\n{head}\n\n{text}\n");
    let plain = part("Content-Type: text/plain", "Why it is so.");
    let attached = "Content-Type: text/x-patch; name=a.patch\nContent-Disposition: attachment";
    let html = part("Content-Type: text/html", &format!("<pre>{}</pre>", diff("2 \u{fc}")));
    let header = "Content-Type: multipart/mixed; boundary=b\n";
    let text = format!("{plain}{html}{}--b--\n", part(attached, &diff("2 \u{fc}")));
    is_whole(header, text.as_bytes());
    assert!(text_of(header, text.as_bytes()).contains("\nWhy it is so.\n"));
    // A whole patch with its own headers.
    let own = format!(
        "From 0 Mon Sep 17 00:00:00 2001\nFrom: B <b@b>\nSubject: [PATCH] mm: own\n\n{}",
        body("x")
    );
    let text = format!("{plain}{}--b--\n", part(attached, &own));
    let mbox = mail("[PATCH] mm: one", header, &text);
    assert_eq!(subjects(&mbox), ["[PATCH] mm: own"]);
    // HTML alone is no patch.
    let mbox = mail("[PATCH] mm: one", header, &format!("{html}--b--\n"));
    assert!(chosen(&mbox).unwrap_err().contains("no mail has a patch"));
}

#[test]
fn what_is_no_mail_is_a_bare_diff_or_refused() {
    let quilt = format!("It mends a.\n\n---\n{}", diff("x"));
    for text in [diff("x"), quilt.clone(), quilt.replace('\n', "\r\n"), format!("\u{feff}{quilt}")]
    {
        let mails = mail::read(text.as_bytes(), "x.diff").unwrap();
        let series = thread::series(mails, false).unwrap();
        assert!(String::from_utf8_lossy(&series.patches[0].1).contains(&diff("x")));
    }
    for (text, why) in
        [("", "neither a mail nor a patch"), ("a\0b", "binary"), ("Hello.\n", "neither")]
    {
        let error = mail::read(text.as_bytes(), "x").unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn subjects_are_decoded_and_become_names() {
    let mbox =
        mail("=?utf-8?q?=5BPATCH_1/1=5D_mm=3A_K=C3=B6nig,?=\n =?utf-8?q?_or_not?=", "", &body("x"));
    assert_eq!(subjects(&mbox), ["[PATCH 1/1] mm: K\u{f6}nig, or not"]);
    assert_eq!(slug("[PATCH v2 1/3] mm: memcg: K\u{f6}nig, or ../not"), "mm-memcg-K-nig-or-..-not");
    assert_eq!(slug("[PATCH] ..."), "patch");
}

#[test]
fn every_part_of_a_mail_that_has_a_diff_is_of_the_patch() {
    let header = "Content-Type: multipart/mixed; boundary=b\n";
    let part = |head: &str, text: &str| format!("--b\nContent-Type: {head}\n\n{text}\n");
    let other = diff("x").replace("mm/a.c", "mm/b.c");
    let files = |text: &str| Diff::read(text.as_bytes()).unwrap().touches.len();
    // A message, a diff, a diff, and what the list puts below.
    let plain = |text: &str| part("text/plain", text);
    let parts = [plain("Why it is so."), plain(&diff("2")), plain(&other), plain("____\na list")];
    let text = text_of(header, (parts.concat() + "--b--\n").as_bytes());
    assert_eq!(files(&text), 2, "{text}");
    assert!(text.contains("\nWhy it is so.\n") && text.contains("\n---\ndiff --git"), "{text}");
    assert!(!text.contains("a list"), "{text}");
    // A part that was cut stays cut.
    let cut = diff("2").replace(" \tthree\n", "");
    let parts = [plain(&cut), plain(&other), "--b--\n".to_owned()].concat();
    assert!(Diff::read(text_of(header, parts.as_bytes()).as_bytes()).is_err());
    // One in the text and one attached: git would apply both, and who knows which was meant.
    let attached = |text: &str| part("text/x-patch; name=b.patch", text);
    let both =
        |file: &str| mail("[PATCH] a", header, &(plain(&body("2")) + &attached(file) + "--b--\n"));
    let error = chosen(&both(&other)).unwrap_err();
    assert!(
        error.starts_with("`[PATCH] a` (x.mbx) has one diff in its text and another"),
        "{error}"
    );
    assert_eq!(subjects(&both(&diff("2"))), ["[PATCH] a"]);
}

#[test]
fn a_body_that_cannot_be_decoded_is_named() {
    let broken = mail("[PATCH] mm: a", "Content-Transfer-Encoding: base64\n", "ZGl*mZ\u{fc}");
    let error = chosen(&broken).unwrap_err();
    assert!(error.starts_with("`[PATCH] mm: a` (x.mbx) cannot be decoded"), "{error}");
    // As an answer it does not matter.
    let answer = broken.replace("Subject: ", "Subject: Re: ");
    assert_eq!(subjects(&(patch_mail("[PATCH] mm: b") + &answer)).len(), 1);
}

#[test]
fn a_patch_of_quilt_is_a_bare_diff() {
    let bare = diff("x").replace("a/mm", "linux.orig/mm").replace("b/mm", "linux/mm");
    let bare = &bare[bare.find("--- ").unwrap()..];
    let index = format!("Index: linux/mm/a.c\n{}\n{bare}", "=".repeat(67));
    for text in [
        index.clone(),
        format!("mm: memcg: make it so\n{bare}"),
        format!("mm: memcg: make it so\n\nWhy: because.\n\n{index}"),
    ] {
        let mails = mail::read(text.as_bytes(), "dir/0003-fix.patch").unwrap();
        let series = thread::series(mails, false).unwrap();
        let [(title, patch)] = series.patches.as_slice() else { panic!("{text}") };
        assert_eq!((title.as_str(), patch.as_slice()), ("fix", text.as_bytes()));
        assert_eq!(Diff::read(patch).unwrap().touches.len(), 1);
    }
}

/// Enough of RFC 4648 to write a mail.
fn base64(bytes: &[u8]) -> String {
    let letters: Vec<char> =
        ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let mut text = String::new();
    for (at, three) in bytes.chunks(3).enumerate() {
        let word = three.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
        let word = word << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = letters[word >> (18 - 6 * place) & 63];
            text.push(if place > three.len() { '=' } else { letter });
        }
        if at % 18 == 17 {
            text.push('\n');
        }
    }
    text
}
