"""What the gateway wrote down goes into the one ledger."""

from datetime import UTC

from django.db import migrations

AT_ONCE = 1000


def move_uses(apps, schema_editor):
    GatewayUse, UsageLine = apps.get_model("gateway", "GatewayUse"), apps.get_model("ledger", "UsageLine")
    lines = []
    for use in GatewayUse.objects.order_by("pk").iterator(chunk_size=AT_ONCE):
        lines.append(UsageLine(
            at=use.at, day=use.at.astimezone(UTC).date(), owner_id=use.user_id, kind="own_tokens",
            activity=use.endpoint, provider="apex", model=use.model, adapter_id=use.adapter_id, token_id=use.token_id,
            reference=use.request_id, input_tokens=use.prompt_tokens, output_tokens=use.completion_tokens,
            is_estimated=use.is_estimated, outcome=outcome_of(use.status), status=use.status,
            is_stream=use.is_stream, first_byte_ms=use.first_byte_ms, latency_ms=use.latency_ms,
        ))
        if len(lines) == AT_ONCE:
            UsageLine.objects.bulk_create(lines)
            lines = []
    UsageLine.objects.bulk_create(lines)


def outcome_of(status: int) -> str:
    if status in (200, 499):
        return "ok" if status == 200 else "left"
    return "refused" if 400 <= status < 500 else "failed"


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0005_token_of_a_batch"),
        ("ledger", "0001_lines_and_budgets"),
    ]
    run_before = [("ledger", "0003_sums_of_days")]  # which sums up what is moved here

    operations = [
        migrations.RunPython(move_uses, migrations.RunPython.noop),
        migrations.DeleteModel("GatewayUse"),
    ]
