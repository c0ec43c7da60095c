"""Setting money aside, as a function of the database: one round trip, and its plan is kept.

Each of its statements sees what was committed before it began. The first takes the organisation's budget, so that
admissions of one organisation follow one another; then come the sums, and the reservation where it fits.

The commit does not wait for the disk: the call's own row is written after it, and the log is written in order, so a call
that outlives a crash of the database has its reservation. Within a larger transaction it waits as that one does.
"""

from __future__ import annotations

INSTALL = """
CREATE OR REPLACE FUNCTION billing_reserve(
  which bigint, about varchar, asked numeric, today date, week date, month date, at timestamptz, is_all boolean,
  OUT made boolean, OUT share_left numeric
) LANGUAGE plpgsql AS $body$
DECLARE
  budget public.billing_budget;
  spent record;
  held numeric;
BEGIN
  SELECT * INTO budget FROM public.billing_budget WHERE id = which FOR UPDATE;
  IF NOT FOUND THEN
    made := true;
    RETURN;
  END IF;
  SELECT coalesce(sum(amount) FILTER (WHERE day >= today), 0) AS day,
         coalesce(sum(amount) FILTER (WHERE day >= week), 0) AS week,
         coalesce(sum(amount) FILTER (WHERE day >= month), 0) AS month
    INTO spent FROM public.billing_daytotal
    WHERE tenant_id = budget.tenant_id AND currency = budget.currency AND day >= least(week, month);
  SELECT coalesce(sum(amount), 0) INTO held FROM public.billing_reservation
    WHERE tenant_id = budget.tenant_id AND currency = budget.currency AND subject <> about;
  made := spent.day + held + asked <= coalesce(budget.daily, 'Infinity')
    AND spent.week + held + asked <= coalesce(budget.weekly, 'Infinity')
    AND spent.month + held + asked <= coalesce(budget.monthly, 'Infinity');
  share_left := 1 - greatest(  -- null without any limit
    (spent.day + held) / nullif(budget.daily, 0),
    (spent.week + held) / nullif(budget.weekly, 0),
    (spent.month + held) / nullif(budget.monthly, 0)
  );
  IF share_left < 0 OR 0 IN (budget.daily, budget.weekly, budget.monthly) THEN
    share_left := 0;
  END IF;
  IF made THEN
    INSERT INTO public.billing_reservation (tenant_id, subject, amount, currency, created_at)
      VALUES (budget.tenant_id, about, asked, budget.currency, at)
      ON CONFLICT (tenant_id, subject) DO UPDATE SET amount = EXCLUDED.amount;
  END IF;
  IF is_all THEN
    PERFORM set_config('synchronous_commit', 'off', true);
  END IF;
END $body$;
"""
REMOVE = "DROP FUNCTION billing_reserve;"
