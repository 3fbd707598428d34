-- +goose Up

-- What became of the mail to an address, and whose addresses they are.
create index inbound_message on inbound (message_id) where message_id is not null;
create index network_owner_fetched on network (owner_id, fetched_at desc);
drop index network_owner;
