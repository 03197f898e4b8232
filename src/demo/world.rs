use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use super::DemoError;
use super::peers::{Authority, Mailbox, Mood, Printer, QueuedMail, Received, Showq, WebServer};
use crate::model::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);

/// The peers, and a folder for the files of the demo.
pub struct World {
    /// The page that fails and comes back.
    pub page: WebServer,
    /// A server whose certificate ends in nine days.
    pub shop: WebServer,
    /// A printer with 4 % of its black toner left.
    pub printer: Printer,
    /// A mail queue that grows.
    pub queue: Showq,
    mailbox: Mailbox,
    folder: Folder,
}

/// A folder that goes when the demo ends.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the system's folder for temporary files is the system's to clear.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl World {
    /// Starts all peers; what arrives in the mailbox comes out of the channel.
    ///
    /// # Errors
    /// No port, no folder, no certificate.
    pub async fn start(now: Timestamp) -> Result<(Self, mpsc::Receiver<Received>), DemoError> {
        let name = format!("augenmass-demo-{}-{}", std::process::id(), now.millis());
        let folder = Folder(std::env::temp_dir().join(name));
        std::fs::create_dir(&folder.0)?;
        let authority = Authority::new(now)?;
        std::fs::write(folder.0.join("ca.pem"), authority.root_pem())?;
        let certificate = authority.issue(&[], now + DAY * 9)?;
        let page = WebServer::start().await?;
        page.set("/", Mood::Fine);
        let shop = WebServer::start_tls(&certificate).await?;
        let printer = Printer::start(4).await?;
        let queue = Showq::start(&folder.0).await?;
        let (mailbox, letters) = Mailbox::start().await?;
        Ok((Self { page, shop, printer, queue, mailbox, folder }, letters))
    }

    /// Where samples and state go.
    pub fn data(&self) -> PathBuf {
        self.folder.0.join("data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    /// The configuration, in a file as everybody writes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn config_file(&self) -> io::Result<PathBuf> {
        let file = self.path("augenmass.yml");
        std::fs::write(&file, self.config())?;
        Ok(file)
    }

    fn config(&self) -> String {
        let (mail, printer) = (self.mailbox.address(), self.printer.address());
        let community = self.printer.community();
        let (page, shop) = (self.page.url("/"), self.shop.address());
        let (ca, showq) = (self.path("ca.pem"), self.queue.socket().to_owned());
        let (ca, showq) = (yaml(&ca), yaml(&showq));
        format!(
            r#"instance: demo
timezone: Europe/Berlin
owners:
  web-team:  {{notify: [{{email: web-team@demo.example}}]}}
  office:    {{notify: [{{email: office@demo.example}}], language: de}}
  mail-team: {{notify: [{{email: mail-team@demo.example}}]}}
defaults: {{interval: 2s, timeout: 1s, confirm: {{tries: 3, every: 2s}}}}
services:
  homepage:
    owner: web-team
    probes: [{{http: {{url: "{page}", name: homepage}}}}]
  shop:
    owner: web-team
    probes: [{{certificate: {{host: "{shop}", name: shop, tls: {{ca_file: {ca}}}}}}}]
  printer-s71:
    owner: office
    title: Drucker im Flur
    probes: [{{printer: {{host: "{printer}", name: printer, community: {community}}}}}]
  mail:
    owner: mail-team
    probes: [{{mail_queue: {{showq: {showq}}}}}]
notify:
  email: {{smarthost: "{mail}", from: "Orwell <orwell@demo.example>", tls: "off"}}
alerting: {{group_interval: 2s, fallback: web-team}}
rules: {{interval: 1s}}
"#
        )
    }

    /// More mail comes in than goes out.
    pub fn queue_grows(&self, mails: usize, now: Timestamp) {
        let mail = QueuedMail { queue: "deferred", arrival: now, size: 24_000 };
        self.queue.add(std::iter::repeat_n(mail, mails));
    }
}

/// A path as a quoted YAML scalar.
fn yaml(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "''"))
}
