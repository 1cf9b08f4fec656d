// SPDX-License-Identifier: MIT OR Apache-2.0
//! Series of every shape, made by hand: mails, threads, folders, ranges of commits.

use super::*;

mod mails;
mod places;
mod threads;

/// A diff of one file; `line` makes it unlike others.
fn diff(line: &str) -> String {
    format!(
        "diff --git a/mm/a.c b/mm/a.c\nindex 1..2 100644\n--- a/mm/a.c\n+++ b/mm/a.c\n@@ -1,3 +1,3 @@ f\n \tone\n-two\n+{line}\n \tthree\n"
    )
}

fn body(line: &str) -> String {
    format!(
        "Why it is so.\n\nSigned-off-by: A <a@b>\n---\n mm/a.c | 2 +-\n\n{}-- \n2.39.2\n\n",
        diff(line)
    )
}

/// A mail of a thread with these headers more.
fn mail(subject: &str, headers: &str, body: &str) -> String {
    let id: String = subject.chars().filter(char::is_ascii_alphanumeric).collect();
    format!(
        "From mboxrd@z Thu Jan  1 00:00:00 1970\nFrom: A Hacker <a@b>\nSubject: {subject}\nMessage-Id: <{id}@b>\n{headers}\n{body}\n"
    )
}

fn patch_mail(subject: &str) -> String {
    mail(subject, "", &body(subject))
}

/// Subjects of the patches in `mbox`, in order, and what was left out; or why there is none.
fn chosen(mbox: &str) -> Result<(Vec<String>, Vec<String>), String> {
    let series = thread::series(mail::read(mbox.as_bytes(), "x.mbx")?, false)?;
    let subjects = series.patches.into_iter().map(|(subject, _)| subject).collect();
    Ok((subjects, series.notes))
}

fn subjects(mbox: &str) -> Vec<String> {
    chosen(mbox).unwrap().0
}
