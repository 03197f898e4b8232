//! Small durable state in SQL: outbox, ledger, silences, acknowledgements.
