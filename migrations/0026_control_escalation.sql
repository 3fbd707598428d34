-- +goose Up

-- Somebody wants to hear when the sensors see nothing of the case any more.
alter table cases add column tell_recovered boolean not null default false;

-- Which first letters were drawn to wait as a control group, and which to go
-- out at once: whatever is needed to compute a draw again. A draw is never
-- changed; of a control the end is added, once.
create table control_draw (
    case_id     bigint primary key references cases,
    drawn_at    timestamptz not null,
    seed        text not null,
    drawn       double precision not null check (drawn >= 0 and drawn < 1),
    share       double precision not null check (share > 0 and share <= 0.5),
    arm         text not null check (arm in ('notified','control')),
    until       timestamptz,
    ended_at    timestamptz,
    end_kind    text not null default '' check (end_kind in ('','over','hand','contaminated','severe','case')),
    ended_by    text not null default '',
    end_reason  text not null default '',
    check ((arm = 'control') = (drawn < share)),
    check ((arm = 'control') = (until is not null)),
    check ((ended_at is null) = (end_kind = '') and (ended_at is null or arm = 'control'))
);
create index control_draw_held on control_draw (until) where arm = 'control' and ended_at is null;

-- +goose StatementBegin
create function control_draw_once() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and old.ended_at is null and row(new.case_id, new.drawn_at, new.seed, new.drawn, new.share, new.arm, new.until)
        is not distinct from row(old.case_id, old.drawn_at, old.seed, old.drawn, old.share, old.arm, old.until) then
        return new;
    end if;
    raise exception 'a draw is not changed';
end $$;
-- +goose StatementEnd
create trigger control_draw_once before update or delete on control_draw
    for each row execute function control_draw_once();

-- The sources of a case at its draw: what the arms are compared by, whether
-- they were told or not.
alter table followup add column drawn boolean not null default false;
create index followup_drawn on followup (started_at) where drawn;

-- A rule that can be switched off: escalation.
alter table rule_policy drop constraint rule_policy_mode_check;
alter table rule_policy add constraint rule_policy_mode_check check (mode in ('off','hold','approve-once','automatic'));
