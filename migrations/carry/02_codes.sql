-- Why something is as it is becomes codes with arguments, in place of English
-- sentences (docs/decisions/0034-codes.md).

-- Reasons are lists of {"code": ..., "args": [...]}, the closed list of which is
-- package reason's. What a person typed is the code person.
-- +goose StatementBegin
create function are_reasons(list jsonb) returns boolean language sql immutable as $$
    select jsonb_typeof(list) = 'array' and not exists (select 1 from jsonb_array_elements(list) r
        where jsonb_typeof(r) <> 'object' or coalesce(r->>'code', '') !~ '^[a-z][a-z-]*$'
            or jsonb_typeof(coalesce(r->'args', '[]')) <> 'array')
$$;
-- +goose StatementEnd

-- The sentences that were stored until now, with the codes that take their
-- place. Patterns are tried in order.
create temporary table old_sentence (ord integer, code text, pattern text, args text[]) on commit drop;
insert into old_sentence values
    (0, 'acknowledged', '^acknowledged scanner: (.*)$', array['list']::text[]),
    (1, 'contact-replaced', '^contact replaced$', array[]::text[]),
    (2, 'none-left', '^no source is judged so any more$', array[]::text[]),
    (3, 'source-lost', '^a source that the letter names is not judged so any more: (.*)$', array['list']::text[]),
    (4, 'evidence-gone', '^the observations are gone$', array[]::text[]),
    (5, 'control-quiet', '^nothing was seen since it was held as a control$', array[]::text[]),
    (6, 'rule-holds', '^rule holds$', array[]::text[]),
    (7, 'rule-first', '^first letter of the rule to the contact$', array[]::text[]),
    (8, 'contact-first', '^first mail to the contact$', array[]::text[]),
    (9, 'contact-approval', '^contact needs approval$', array[]::text[]),
    (10, 'contact-by-hand', '^contact by hand only$', array[]::text[]),
    (11, 'contact-invalid', '^contact is invalid$', array[]::text[]),
    (12, 'case-waits', '^case waits for a coordinator$', array[]::text[]),
    (13, 'judged-again', '^judged again$', array[]::text[]),
    (14, 'by-hand', '^by hand$', array[]::text[]),
    (15, 'contact-changed', '^contact changed$', array[]::text[]),
    (16, 'in-doubt', '^it may have arrived with a digest$', array[]::text[]),
    (17, 'in-clear', 'it was first tried without encryption, and its recipient has a PGP key by now: cancel it and write again$', array[]::text[]),
    (18, 'no-mail', 'no mail can be made of it: (.*)$', array['text']::text[]),
    (19, 'quiet-hours', '^put off: quiet hours$', array[]::text[]),
    (20, 'paused', '^put off: paused by the owner$', array[]::text[]),
    (21, 'digest', '^put off: digest$', array[]::text[]),
    (22, 'control', '^put off: control group$', array[]::text[]),
    (23, 'limit-recipient', '^put off: the daily limit per recipient is reached$', array[]::text[]),
    (24, 'limit-domain', '^put off: the daily limit per domain is reached$', array[]::text[]),
    (25, 'limit-as', '^put off: the daily limit per AS is reached$', array[]::text[]),
    (26, 'other', '^put off: (.*)$', array['text']::text[]),
    (27, 'case-closed', '^case closed$', array[]::text[]),
    (28, 'case-ignored', '^case ignored$', array[]::text[]),
    (29, 'gave-up', '^gave up after ([0-9]+) tries$', array['text']::text[]),
    (30, 'address-refused', '^the server refused the address: (.*)$', array['text']::text[]),
    (31, 'mail-bounced', '^mail bounced: (.*) \(([^()]*)\)$', array['text','text']::text[]),
    (32, 'came-back', '^bounced: (.+)$', array['text']::text[]),
    (33, 'rejudged', '^judged again by rule set (.*)$', array['text']::text[]),
    (34, 'control-mail', '^message ([0-9]+)$', array['text']::text[]),
    (35, 'control-mailed', '^the owner gets another mail of ours$', array[]::text[]),
    (36, 'control-rules', '^not all rules are of low severity$', array[]::text[]),
    (37, 'control-sources', '^more than ([0-9]+) sources$', array['text']::text[]),
    (38, 'control-sure', '^judged with confidence ([0-9.]+) or more at ([0-9]+) sensors or more$', array['text','text']::text[]),
    (39, 'control-ics', '^asks for industrial control systems$', array[]::text[]),
    (40, 'control-critical', '^in a critical network$', array[]::text[]),
    (41, 'bounced', '^(\S+@\S+) bounced$', array['text']::text[]);

-- The same for the sentences about contacts, which may follow each other: those
-- of "after" stand behind another one, which their first group is.
create temporary table old_contact_sentence (ord integer, after boolean, code text, pattern text, args text[]) on commit drop;
insert into old_contact_sentence values
    (0, false, 'no-address', '^The answer names no address to write to\.$', array[]::text[]),
    (1, false, 'redacted', '^The answer names no address to write to; the registry has left parts out\.$', array[]::text[]),
    (2, false, 'no-range', '^The answer gives no range of addresses\.$', array[]::text[]),
    (3, false, 'other-range', '^The answer is about other addresses: (.*)\.$', array['range']::text[]),
    (4, false, 'all-rejected', '^The answer names only addresses that must not be written to\.$', array[]::text[]),
    (5, false, 'named', '^The registry names (.*) for abuse\.$', array['entity']::text[]),
    (6, false, 'named-beside', '^The registry names (.*) for abuse, beside (.*)\.$', array['entity','roles']::text[]),
    (7, false, 'begins-abuse-no-role', '^The address begins with abuse@ and stands at (.*), which has no role\.$', array['entity']::text[]),
    (8, false, 'begins-abuse', '^The address begins with abuse@ and stands at (.*), which is (.*)\.$', array['entity','roles']::text[]),
    (9, false, 'marked-abuse-no-role', '^The address is marked for abuse and stands at (.*), which has no role\.$', array['entity']::text[]),
    (10, false, 'marked-abuse', '^The address is marked for abuse and stands at (.*), which is (.*)\.$', array['entity','roles']::text[]),
    (11, false, 'other-no-role', '^The address is not for abuse; it stands at (.*), which has no role\.$', array['entity']::text[]),
    (12, false, 'other-role', '^The address is not for abuse; it stands at (.*), which is (.*)\.$', array['entity','roles']::text[]),
    (13, false, 'whois-section', '^([A-Z]+) WHOIS names it under “(.*)”\.$', array['registry','label']::text[]),
    (14, false, 'whois-field', '^([A-Z]+) WHOIS names it under (.*)\.$', array['registry','label']::text[]),
    (15, false, 'whois-begins-abuse', '^The address begins with abuse@ and stands in ([A-Z]+) WHOIS\.$', array['registry']::text[]),
    (16, false, 'whois-other', '^The address is not for abuse; it stands in ([A-Z]+) WHOIS under “(.*)”\.$', array['registry','label']::text[]),
    (17, false, 'remark', '^A remark on the network says: “(.*)”\.$', array['line']::text[]),
    (18, false, 'remark-forbids', '^A remark on the network says not to write there: “(.*)”\.$', array['line']::text[]),
    (19, false, 'not-mailable', '^The address cannot be written to: (.*)\.$', array['reason']::text[]),
    (20, false, 'registrys-own', '^The address is a registry''s own, not the owner''s of the network\.$', array[]::text[]),
    (21, false, 'placeholder', '^(.*) stands for a registry, not for the owner of the network\.$', array['entity']::text[]),
    (22, false, 'directory', '^entry ([0-9]+) of the directory, for ([a-z]+) (.*), by (.*)$', array['entry','scope','target','user']::text[]),
    (23, false, 'bounced', '^(\S+@\S+) bounced$', array['address']::text[]),
    (24, true, 'of-several-marked', '^(.*); of its addresses this one is marked for abuse\.$', array[]::text[]),
    (25, true, 'of-several-preferred', '^(.*); of its addresses this one is marked as preferred\.$', array[]::text[]),
    (26, true, 'of-several-begins-abuse', '^(.*); of its addresses this one begins with abuse@\.$', array[]::text[]),
    (27, true, 'of-several', '^(.*); it is one of several addresses\.$', array[]::text[]),
    (28, true, 'invalid', '^(.*) The registry says that the address is invalid\.$', array[]::text[]),
    (29, true, 'validated-on', '^(.*) The registry validated the address on ([0-9/.-]+)\.$', array['day']::text[]),
    (30, true, 'validated', '^(.*) The registry validated the address\.$', array[]::text[]),
    (31, true, 'not-validated', '^(.*) The registry could not validate it\.$', array[]::text[]),
    (32, true, 'has-validated', '^(.*) The registry has validated it\.$', array[]::text[]),
    (33, true, 'whois-names-none', '^(.*) ([A-Z]+) WHOIS names none for abuse\.$', array['registry']::text[]),
    (34, true, 'whois-unknown', '^(.*) ([A-Z]+) WHOIS knows no network around the address\.$', array['registry']::text[]),
    (35, true, 'whois-silent', '^(.*) ([A-Z]+) WHOIS did not answer\.$', array['registry']::text[]);

-- +goose StatementBegin
create function pg_temp.coded(code text, args text[]) returns jsonb language sql immutable as $$
    select jsonb_build_array(case when cardinality(args) > 0 then jsonb_build_object('code', code, 'args', to_jsonb(args))
        else jsonb_build_object('code', code) end)
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create function pg_temp.typed(said text) returns jsonb language sql immutable as $$
    select case when said = '' then '[]' else pg_temp.coded('person', array[said]) end
$$;
-- +goose StatementEnd

-- The arguments that a pattern found, as the codes take them.
-- +goose StatementBegin
create function pg_temp.arguments(names text[], hits text[]) returns text[] language plpgsql as $$
declare
    args text[] := '{}';
begin
    for i in 1 .. cardinality(names) loop
        args := args || case names[i]
            when 'list' then string_to_array(hits[i], ', ')
            when 'roles' then string_to_array(hits[i], ', ')
            when 'entity' then array[case when hits[i] = 'an entity without a name' then '' else hits[i] end]
            when 'reason' then array[case hits[i]
                when 'it has control characters' then 'control'
                when 'it is too long' then 'too-long'
                when 'it is not an e-mail address' then 'none'
                when 'it is masked' then 'masked'
                when 'its local part is not one that mail servers commonly take' then 'local-part'
                when 'its domain is not a name' then 'no-name'
                when 'its domain is not a name in the DNS' then 'not-in-dns'
                else hits[i] end]
            else array[hits[i]] end;
    end loop;
    return args;
end $$;
-- +goose StatementEnd

-- Null: no sentence of the program's.
-- +goose StatementBegin
create function pg_temp.of_sentence(said text) returns jsonb language plpgsql as $$
declare
    s record;
    hits text[];
    more jsonb;
begin
    if said = '' then
        return '[]';
    end if;
    -- These go on with another reason.
    hits := regexp_match(said, '^no mail to this address: (.*)$');
    if hits is not null then
        more := pg_temp.of_sentence(hits[1]);
        return pg_temp.coded('suppressed', '{}') || coalesce(more, pg_temp.coded('other', hits));
    end if;
    hits := regexp_match(said, '^message ([0-9]+): (.*)$');
    if hits is not null then
        more := pg_temp.of_sentence(hits[2]);
        return pg_temp.coded('digest-letter', hits[1:1]) || coalesce(more, pg_temp.coded('other', hits[2:2]));
    end if;
    for s in select * from old_sentence order by ord loop
        hits := regexp_match(said, s.pattern);
        if hits is not null then
            return pg_temp.coded(s.code, pg_temp.arguments(s.args, hits));
        end if;
    end loop;
    return null;
end $$;
-- +goose StatementEnd

-- +goose StatementBegin
create function pg_temp.of_contact_sentence(said text) returns jsonb language plpgsql as $$
declare
    s record;
    hits text[];
    before jsonb;
begin
    if said = '' then
        return '[]';
    end if;
    for s in select * from old_contact_sentence where after order by ord loop
        hits := regexp_match(said, s.pattern);
        if hits is not null then
            before := pg_temp.of_contact_sentence(hits[1] || case when s.pattern like '^(.*);%' then '.' else '' end);
            if before is not null and before <> '[]' then
                return before || pg_temp.coded(s.code, pg_temp.arguments(s.args, hits[2:]));
            end if;
        end if;
    end loop;
    for s in select * from old_contact_sentence where not after order by ord loop
        hits := regexp_match(said, s.pattern);
        if hits is not null then
            return pg_temp.coded(s.code, pg_temp.arguments(s.args, hits));
        end if;
    end loop;
    return null;
end $$;
-- +goose StatementEnd

-- Whether an event's actor is a person.
-- +goose StatementBegin
create function pg_temp.is_person(actor text) returns boolean language sql immutable as $$
    select actor <> 'teiten' and left(actor, 5) <> 'rule '
$$;
-- +goose StatementEnd

-- Contacts, and the record of what was chosen from an answer. A contact of a
-- coordinator's own has the coordinator's words.
alter table contact alter column why drop default;
alter table contact alter column why type jsonb using case when provenance = 'override' and directory_id is null then pg_temp.typed(why)
    else coalesce(pg_temp.of_contact_sentence(why), pg_temp.coded('other', array[why])) end;
alter table contact alter column why set default '[]';
alter table contact add check (are_reasons(why));

update network n set choice = jsonb_set(choice, '{why}',
        coalesce(pg_temp.of_contact_sentence(choice->>'why'), pg_temp.coded('other', array[choice->>'why'])))
    where jsonb_typeof(choice->'why') = 'string';
update network n set choice = jsonb_set(choice, '{rejected}', (select coalesce(jsonb_agg(jsonb_set(r, '{why}',
        coalesce(pg_temp.of_contact_sentence(r->>'why'), pg_temp.coded('other', array[coalesce(r->>'why', '')]))) order by o), '[]')
        from jsonb_array_elements(choice->'rejected') with ordinality as x (r, o)))
    where jsonb_typeof(choice->'rejected') = 'array';

-- Messages: why each waits or waited for a coordinator, why it is due later,
-- why it ended, and what coordinators overruled by approving it. A person held
-- or canceled it if the last such event says so, and the words are none that
-- only the program writes into such an event. A message had the first 2000
-- bytes of what was typed.
alter table message add column hold_why jsonb not null default '[]' check (are_reasons(hold_why));
alter table message add column delay_why jsonb not null default '[]' check (are_reasons(delay_why));
alter table message add column end_why jsonb not null default '[]' check (are_reasons(end_why));
alter table message add column overruled text[] not null default '{}';

update message m set hold_why = case
    when hold_reason <> 'contact changed' and pg_temp.is_person((select e.actor from case_event e where e.case_id = m.case_id
            and e.message_id = m.id and e.kind = 'message-held' and (e.text = m.hold_reason
                or octet_length(m.hold_reason) > 1990 and starts_with(e.text, m.hold_reason)) order by e.id desc limit 1))
        then pg_temp.typed(hold_reason)
    else coalesce(pg_temp.of_sentence(hold_reason), pg_temp.coded('other', array[hold_reason])) end
    where hold_reason <> '';
-- What holds a message now arose after its approval.
update message set overruled = array(select r->>'code' from jsonb_array_elements(hold_why) r
        where r->>'code' in ('acknowledged','contact-replaced','control-quiet'))
    where approved_at is not null and state <> 'held';

-- What put off a message that is not queued any more says nothing now. A
-- canceled one has why it was canceled there, which may be anybody's words.
update message set delay_why = case when state = 'queued' then pg_temp.of_sentence(last_error) else '[]' end, last_error = ''
    where last_error like 'put off: %' and state <> 'canceled';

update message m set last_error = '', end_why = case
    when last_error not in ('contact changed','case closed','case ignored') and pg_temp.is_person((select e.actor from case_event e
            where e.case_id = m.case_id and e.message_id = m.id and e.kind = 'message-canceled' order by e.id desc limit 1))
        then pg_temp.typed(last_error)
    else coalesce(pg_temp.of_sentence(last_error), pg_temp.coded('other', array[last_error])) end
    where state = 'canceled' and last_error <> '';
-- A server's words stay what they are. Some bounces came without a status.
update message set last_error = 'bounced: 5.0.0' where state = 'bounced' and last_error = 'bounced:';
update message set end_why = pg_temp.of_sentence(last_error), last_error = ''
    where state in ('failed','bounced') and last_error ~ '^(gave up after [0-9]+ tries|no mail to this address: .*|bounced: .+)$';

alter table message drop column hold_reason;

-- Why an address gets no mail.
alter table suppression add column why jsonb;
update suppression set why = coalesce(nullif(pg_temp.of_sentence(reason), '[]'), pg_temp.coded('other', array[reason]));
alter table suppression alter column why set not null;
alter table suppression add check (are_reasons(why) and why <> '[]');
alter table suppression drop column reason;

-- Why a case is no control any more. The trigger lets only the end be added.
alter table control_draw disable trigger control_draw_once;
alter table control_draw add column end_why jsonb not null default '[]' check (are_reasons(end_why));
update control_draw set end_why = case when pg_temp.is_person(ended_by) then pg_temp.typed(end_reason)
    else coalesce(pg_temp.of_sentence(end_reason), pg_temp.coded('other', array[end_reason])) end
    where end_reason <> '';
alter table control_draw drop column end_reason;
alter table control_draw enable trigger control_draw_once;

-- Events: why they happened moves out of their texts. Mails, notes, answers of
-- servers, addresses and tickets stay there.
alter table case_event disable trigger case_event_append_only;
alter table case_event add column why jsonb not null default '[]' check (are_reasons(why));

update case_event set text = '', why = case
    when pg_temp.is_person(actor) and text not in ('contact changed','case closed','case ignored') then pg_temp.typed(text)
    else coalesce(pg_temp.of_sentence(text), pg_temp.coded('other', array[text])) end
    where kind in ('message-held','message-canceled','closed','ignored','reopened','control-ended','link-ended','suppressed') and text <> '';
update case_event set text = '', why = case when pg_temp.is_person(actor) then pg_temp.typed(text)
    else coalesce(pg_temp.of_contact_sentence(text), pg_temp.coded('other', array[text])) end
    where kind = 'contact-changed' and text <> '';
update case_event set text = '', why = case when text ~ '^[0-9a-f.:]+: ' then pg_temp.coded('acknowledged-source', regexp_match(text, '^([0-9a-f.:]+): (.*)$'))
    else pg_temp.coded('acknowledged', array[text]) end
    where kind = 'acknowledged' and text <> '';
update case_event set text = '', why = pg_temp.coded('filed', '{}') where kind = 'note' and inbound_id is not null and text = 'mail filed by hand';
update case_event set text = '', why = pg_temp.coded('seen', '{}') where kind = 'note' and text in ('Seen, nothing to do.', '確認済み');
update case_event set text = '', why = pg_temp.of_sentence(text) where kind = 'note' and actor = 'teiten' and text ~ '^judged again by rule set ';
update case_event set text = '', why = pg_temp.of_sentence(text)
    where kind = 'message-failed' and text ~ '^(gave up after [0-9]+ tries|no mail to this address: .*)$';
update case_event set why = pg_temp.coded('gave-up', array[data->>'count']), data = data - 'reason'
    where kind = 'message-failed' and data->>'reason' = 'gave up';
update case_event set data = data - 'reason' where kind = 'message-held' and why <> '[]';
update case_event set data = jsonb_set(data, '{reason}', '"unverified"') where data->>'reason' = 'unverified sender';

alter table case_event enable trigger case_event_append_only;

drop function pg_temp.coded(text, text[]), pg_temp.typed(text), pg_temp.arguments(text[], text[]), pg_temp.of_sentence(text),
    pg_temp.of_contact_sentence(text), pg_temp.is_person(text);
