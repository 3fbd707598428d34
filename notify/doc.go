// Package notify tells owners about their sources and follows their answers. It reads cases and held or queued messages
// from the case database, composes and sends mail, and takes mail in: bounces, automatic answers, complaints and
// replies. It writes attempts, the states of messages, inbound mail, suppressions and case events.
//
//   - Composer makes a mail of a message: text in the recipient's language, evidence as a CSV part, headers.
//   - Sender sends what is due, through a Transport, within limits.
//   - InboundServer takes mail in over SMTP and stores it; InboundWorker reads it and lets it take effect.
//   - MailboxServer is where mail goes while no real SMTP server is configured.
//
// docs/mail.md describes headers, tokens, states, retries, limits and classes.
package notify
