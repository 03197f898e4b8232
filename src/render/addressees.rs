//! Whom the mails of an `alertmanager.yml` go to, and from whom they come, where templates say so.

use std::sync::Arc;

use lettre::message::Mailbox;

use super::Renderer;
use super::receivers::{Voice, Way, data, heard};
use crate::alerting::{Notice, Owner};
use crate::ports::Address;

/// So many addresses of one template are told; what gives more is a mistake.
const MOST: usize = 100;

/// What a template of `to` gives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Addressees {
    /// Mail addresses, each once.
    pub(super) to: Vec<Arc<str>>,
    /// Why there are not as many as there should be.
    pub(super) trouble: Option<String>,
}

impl Renderer {
    /// The addresses that one address of an owner stands for. All but templates stand for
    /// themselves. A template that gives no address leads to the default receiver, so that
    /// somebody hears of it; where that has none either, it stands for itself, and no channel
    /// takes it.
    pub fn places(&self, notice: &Notice, owner: &Owner, to: &Address) -> Vec<Address> {
        let alone = || vec![to.clone()];
        let Some(voice) = self.voices.get(&(owner.name.clone(), to.clone())) else {
            return alone();
        };
        let Way::Email { to: Some(template), .. } = &voice.way else { return alone() };
        let Some(notice) = heard(notice, voice) else { return alone() };
        let found = self.addressees(template, &notice).to;
        let found: Vec<Address> = found.into_iter().map(Address::Email).collect();
        match (found.is_empty(), self.default_addresses.is_empty()) {
            (false, _) => found,
            (true, false) => self.default_addresses.clone(),
            (true, true) => alone(),
        }
    }

    /// How an address is told that only a template of its owner gives, or once gave.
    pub(super) fn voice_of_template(
        &self,
        notice: &Notice,
        owner: &Owner,
        to: &Address,
    ) -> Option<&Voice> {
        let Address::Email(to) = to else { return None };
        let voices = self.written.get(&owner.name)?;
        let voices =
            voices.iter().filter_map(|at| self.voices.get(&(owner.name.clone(), at.clone())));
        let gives = |voice: &&Voice| {
            let Way::Email { to: Some(template), .. } = &voice.way else { return false };
            let Some(notice) = heard(notice, voice) else { return false };
            self.addressees(template, &notice).to.contains(to)
        };
        voices.clone().find(gives).or_else(|| voices.clone().next())
    }

    /// Runs a template of `to`.
    pub(super) fn addressees(&self, template: &str, notice: &Notice) -> Addressees {
        match self.written(template, notice) {
            Ok(text) => read(&text),
            Err(why) => Addressees { to: Vec::new(), trouble: Some(why) },
        }
    }

    /// Runs a template of `from`: one address.
    pub(super) fn sender(&self, template: &str, notice: &Notice) -> Result<String, String> {
        let text = self.written(template, notice)?;
        match text.trim().parse::<Mailbox>() {
            Ok(_) => Ok(text.trim().to_owned()),
            Err(_) => Err("it gives no mail address".to_owned()),
        }
    }

    fn written(&self, template: &str, notice: &Notice) -> Result<String, String> {
        let pages = self.links.pages.as_deref().unwrap_or("");
        let data = data(notice, pages).map_err(|error| error.message)?;
        let text = self.templates.all.text(template, &data, notice.at);
        text.map_err(|error| error.message)
    }
}

/// A list of addresses as RFC 5322 writes it; empty places in it are nothing.
fn read(text: &str) -> Addressees {
    let mut found = Addressees::default();
    let mut seen = Vec::new();
    for one in separated(text) {
        match one.parse::<Mailbox>() {
            Ok(mailbox) if seen.contains(&mailbox.email) => {}
            Ok(_) if found.to.len() == MOST => {
                found.trouble = Some(format!("it gives more than {MOST} addresses"));
                break;
            }
            Ok(mailbox) => {
                seen.push(mailbox.email);
                found.to.push(one.into());
            }
            Err(_) => found.trouble = Some("part of what it gives is no mail address".to_owned()),
        }
    }
    if found.to.is_empty() {
        found.trouble = Some("it gives no mail address".to_owned());
    }
    found
}

/// The parts of a list between its commas; those within quotes are part of a name.
pub fn separated(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(move |c: char| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        c == ',' && !quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(text: &str) -> Vec<String> {
        read(text).to.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_list_of_addresses_is_read() {
        let two = ["a@example.org", "\"Web, IT\" <b@example.org>"];
        assert_eq!(to(" a@example.org,, \"Web, IT\" <b@example.org>,\n"), two);
        assert_eq!(to("a@example.org,A <a@example.org>"), ["a@example.org"], "each once");
        assert_eq!(read("a@example.org, b@example.org").trouble, None);
        assert_eq!(to("\"a\\\", b\" <c@example.org>"), ["\"a\\\", b\" <c@example.org>"]);
    }

    #[test]
    fn what_is_no_address_is_said() {
        let trouble = |text: &str| read(text).trouble.unwrap();
        assert!(trouble("").contains("no mail address") && trouble("@example.org").contains("no"));
        assert_eq!(to("nobody, a@example.org"), ["a@example.org"]);
        assert!(trouble("nobody, a@example.org").contains("part of what it gives"));
        let many: Vec<String> = (0..200).map(|n| format!("a{n}@example.org")).collect();
        assert_eq!(to(&many.join(",")).len(), MOST);
        assert!(trouble(&many.join(",")).contains("more than 100"));
    }
}
