// Package casedb holds the nouns of teiten and the only SQL. Everything the
// other packages know about sensors, observations, sources, owners, cases and
// mails they read from and write to PostgreSQL through the methods here.
package casedb
