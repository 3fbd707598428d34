-- +goose Up

-- The public key, in ASCII armour, to which letters to the contact are encrypted.
alter table directory_entry add column pgp_key text not null default '';
