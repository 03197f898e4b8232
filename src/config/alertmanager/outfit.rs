//! What the receivers of a file need in a running process: addresses, accounts, webhooks, words.

use std::collections::HashMap;
use std::sync::Arc;

use super::{AlertmanagerFile, Integration};
use crate::alerting::Owner;
use crate::model::NonEmpty;
use crate::notify::{EmailSettings, WebhookSettings};
use crate::ports::Address;
use crate::render::{TemplateFiles, Voice, Way, separated};

/// The receivers, as the running process knows them.
#[derive(Clone, Debug, Default)]
pub struct Outfit {
    /// Each receiver as somebody who is told.
    pub owners: Vec<Owner>,
    /// Accounts of mail, by the names that messages carry.
    pub accounts: Vec<(Arc<str>, EmailSettings)>,
    /// Webhooks.
    pub webhooks: Vec<WebhookSettings>,
    /// How each is told, by receiver and address.
    pub voices: HashMap<(Arc<str>, Address), Voice>,
    /// Whether a room of Matrix is among them.
    pub matrix: bool,
    /// Mail addresses of the receiver at the root of the routes: told when a template that should
    /// give an address gives none.
    pub default_addresses: Vec<Address>,
}

impl AlertmanagerFile {
    /// Receivers that `is_owner` knows and that have no integration are that owner; `language` and
    /// `timezone` are those of our own words.
    pub fn outfit(
        &self,
        is_owner: impl Fn(&str) -> bool,
        language: &Arc<str>,
        timezone: &Arc<str>,
    ) -> Outfit {
        let mut outfit = Outfit::default();
        let words = Arc::new(self.words.clone());
        for receiver in &self.receivers {
            let name = &receiver.name;
            if receiver.integrations.is_empty() && is_owner(name) {
                continue;
            }
            let mut addresses = Vec::new();
            for (at, integration) in receiver.integrations.iter().enumerate() {
                for (address, voice) in outfit.ways(name, at, integration, &words) {
                    if !addresses.contains(&address) {
                        addresses.push(address.clone());
                        let plain = matches!(voice.way, Way::Email { to: None, .. });
                        if plain && self.root.receiver.as_ref() == Some(name) {
                            outfit.default_addresses.push(address.clone());
                        }
                        outfit.voices.insert((name.clone(), address), voice);
                    }
                }
            }
            if addresses.is_empty() {
                let nobody = Address::Webhook(format!("{name}: nobody").into());
                let voice = Voice { send_resolved: true, way: Way::Nobody };
                outfit.voices.insert((name.clone(), nobody.clone()), voice);
                addresses.push(nobody);
            }
            let Some(addresses) = NonEmpty::from_vec(addresses) else { continue };
            let (language, timezone) = (language.clone(), timezone.clone());
            outfit.owners.push(Owner { name: name.clone(), addresses, language, timezone });
        }
        outfit
    }
}

impl Outfit {
    fn ways(
        &mut self,
        receiver: &Arc<str>,
        at: usize,
        integration: &Integration,
        templates: &Arc<TemplateFiles>,
    ) -> Vec<(Address, Voice)> {
        match integration {
            Integration::Email { to, from, send_resolved, settings, words } => {
                let Some(settings) = settings else { return Vec::new() };
                let account: Arc<str> = format!("{receiver}/{at}").into();
                self.accounts.push((account.clone(), (**settings).clone()));
                let words = words.clone();
                let written = to.contains("{{").then(|| to.clone());
                let way = Way::Email {
                    account,
                    to: written.clone(),
                    from: from.clone(),
                    subject: words.subject,
                    text: words.text,
                    html: words.html,
                    headers: words.headers,
                };
                let voice = Voice { send_resolved: *send_resolved, way };
                let one = |to: &str| (Address::Email(to.into()), voice.clone());
                match written {
                    Some(template) => vec![one(&template)],
                    None => separated(to).map(one).collect(),
                }
            }
            Integration::Webhook { url, max_alerts, send_resolved, access, timeout, body } => {
                let Some(url) = url else { return Vec::new() };
                let name: Arc<str> = format!("{receiver}/{at}").into();
                self.webhooks.push(WebhookSettings {
                    name: name.clone(),
                    url: url.clone(),
                    templates: Some(templates.clone()),
                    body: body.clone(),
                    access: (**access).clone(),
                    timeout: *timeout,
                });
                let max_alerts = usize::try_from(*max_alerts).unwrap_or(usize::MAX);
                let way = Way::Webhook { max_alerts };
                vec![(Address::Webhook(name), Voice { send_resolved: *send_resolved, way })]
            }
            Integration::Matrix { room, send_resolved } => {
                self.matrix = true;
                let voice = Voice { send_resolved: *send_resolved, way: Way::Usual };
                vec![(Address::Matrix(room.clone()), voice)]
            }
        }
    }
}
