-- +goose Up

-- The key of an address is looked for with every mail to it, the contacts of an
-- owner with every answer of a registry.
create index directory_entry_email on directory_entry (lower(email));
create index contact_owner on contact (owner_id) where retired_at is null;
