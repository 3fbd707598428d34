-- +goose Up

-- The Reply-To of a person's mail, where it is another than the From: a note
-- for coordinators. sender is the From.
alter table inbound add column reply_to text not null default '';
