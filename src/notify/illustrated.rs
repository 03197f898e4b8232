use std::sync::Arc;

use crate::ports::{Delivery, DeliveryError, Doing, Draw, Notifier, Receipt};

/// A channel whose messages get the picture they want, drawn when they are sent: it is then up to
/// date, and the outbox holds no pictures.
pub struct Illustrated {
    channel: Arc<dyn Notifier>,
    draw: Arc<dyn Draw>,
}

impl Illustrated {
    /// Pictures from `draw` for the messages of `channel`.
    pub fn new(channel: Arc<dyn Notifier>, draw: Arc<dyn Draw>) -> Self {
        Self { channel, draw }
    }

    async fn send(&self, delivery: &Delivery) -> Result<Receipt, DeliveryError> {
        let message = &delivery.message;
        let Some(plot) = &message.plot else { return self.channel.deliver(delivery).await };
        let Some(picture) = self.draw.draw(plot, &message.language).await else {
            return self.channel.deliver(delivery).await;
        };
        let mut delivery = delivery.clone();
        delivery.message.attachments.push(picture);
        self.channel.deliver(&delivery).await
    }
}

impl Notifier for Illustrated {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> Doing<'a, Result<Receipt, DeliveryError>> {
        Box::pin(self.send(delivery))
    }
}
