package casedb

import (
	"context"
	"time"
)

// LetterTemplate is one version of a letter that a coordinator wrote. Version 0
// of each name is the program's own and not in the database.
type LetterTemplate struct {
	Name      string    `db:"name"` // "infected-mirai.first.ja"
	Version   int       `db:"version"`
	Subject   string    `db:"subject"`
	Body      string    `db:"body"`
	CreatedAt time.Time `db:"created_at"`
	CreatedBy string    `db:"created_by"`
}

// LetterChoice says which version of a letter was put in force, by whom and
// why.
type LetterChoice struct {
	Name    string    `db:"name"`
	Version int       `db:"version"`
	At      time.Time `db:"at"`
	Actor   string    `db:"actor"`
	Reason  string    `db:"reason"`
}

const letterTemplateColumns = `name, version, subject, body, created_at, created_by`

// SaveLetterTemplate writes a new version of a letter. It is in force only when
// a coordinator chooses it.
func (t *Tx) SaveLetterTemplate(ctx context.Context, name, subject, body, by string, now time.Time) (LetterTemplate, error) {
	var l LetterTemplate
	if _, err := t.q.ExecContext(ctx, `select pg_advisory_xact_lock($1, hashtext($2))`, lockLetters, name); err != nil {
		return l, fail("lock letter", err)
	}
	err := t.q.GetContext(ctx, &l, `insert into letter_template (`+letterTemplateColumns+`)
		select $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5 from letter_template where name = $1
		returning `+letterTemplateColumns, name, subject, body, now, by)
	return l, fail("save letter", err)
}

// ChooseLetterTemplate puts a version in force; 0 is the program's own.
// ErrNotFound if there is no such version, ErrConflict if it is in force.
func (t *Tx) ChooseLetterTemplate(ctx context.Context, c LetterChoice) error {
	if _, err := t.q.ExecContext(ctx, `select pg_advisory_xact_lock($1, hashtext($2))`, lockLetters, c.Name); err != nil {
		return fail("lock letter", err)
	}
	if c.Version != 0 {
		if _, err := t.LetterTemplate(ctx, c.Name, c.Version); err != nil {
			return err
		}
	}
	current, err := t.LetterInForce(ctx, c.Name)
	if err != nil {
		return err
	}
	if current.Version == c.Version {
		return ErrConflict
	}
	_, err = t.q.ExecContext(ctx, `insert into letter_choice (name, version, at, actor, reason) values ($1, $2, $3, $4, $5)`,
		c.Name, c.Version, c.At, c.Actor, c.Reason)
	return fail("choose letter", err)
}

// LetterInForce returns the version of a letter that mails are made from. The
// zero Version: the program's own.
func (q *Queries) LetterInForce(ctx context.Context, name string) (LetterTemplate, error) {
	var l LetterTemplate
	err := fail("get the letter in force", q.q.GetContext(ctx, &l, `select `+letterTemplateColumns+` from letter_template
		where name = $1 and version = (select version from letter_choice where name = $1 order by id desc limit 1)`, name))
	if isNotFound(err) {
		return LetterTemplate{Name: name}, nil
	}
	return l, err
}

// LetterTemplate returns a version of a letter.
func (q *Queries) LetterTemplate(ctx context.Context, name string, version int) (LetterTemplate, error) {
	var l LetterTemplate
	err := q.q.GetContext(ctx, &l, `select `+letterTemplateColumns+` from letter_template where name = $1 and version = $2`, name, version)
	return l, fail("get letter", err)
}

// LetterVersions lists the latest versions of a letter, newest first, at most
// limit.
func (q *Queries) LetterVersions(ctx context.Context, name string, limit int) ([]LetterTemplate, error) {
	var l []LetterTemplate
	err := q.q.SelectContext(ctx, &l, `select `+letterTemplateColumns+` from letter_template where name = $1
		order by version desc limit $2`, name, limit)
	return l, fail("list letter versions", err)
}

// LetterChoices lists the versions of a letter that were put in force, newest first, at most
// limit.
func (q *Queries) LetterChoices(ctx context.Context, name string, limit int) ([]LetterChoice, error) {
	var c []LetterChoice
	err := q.q.SelectContext(ctx, &c, `select name, version, at, actor, reason from letter_choice where name = $1
		order by id desc limit $2`, name, limit)
	return c, fail("list letter choices", err)
}

// LettersInForce returns the choice in force of every letter that has one.
func (q *Queries) LettersInForce(ctx context.Context) ([]LetterChoice, error) {
	var c []LetterChoice
	err := q.q.SelectContext(ctx, &c, `select distinct on (name) name, version, at, actor, reason from letter_choice order by name, id desc`)
	return c, fail("list letters in force", err)
}

// CasesOfKind lists the numbers of the cases of a kind that changed last, at
// most limit: to try letters on.
func (q *Queries) CasesOfKind(ctx context.Context, kind Kind, limit int) ([]string, error) {
	var n []string
	err := q.q.SelectContext(ctx, &n, `select number from cases where kind = $1 order by updated_at desc, id desc limit $2`, kind, limit)
	return n, fail("list cases of a kind", err)
}
