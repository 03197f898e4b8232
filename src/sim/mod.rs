//! The whole system behind a seeded clock, disk, network and mailbox.
