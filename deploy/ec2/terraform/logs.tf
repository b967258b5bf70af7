resource "aws_cloudwatch_log_group" "mail" {
  name              = "/${var.name}/mail"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn == "" ? null : var.kms_key_arn
}

# One line of JSON a minute, written by mxgate-health on the machine.
resource "aws_cloudwatch_log_group" "health" {
  name              = "/${var.name}/health"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn == "" ? null : var.kms_key_arn
}

locals {
  # metric = member of that line
  health_metrics = {
    Healthy          = "healthy"
    QueueAge         = "oldest_seconds"
    Queued           = "queued"
    OnHold           = "on_hold"
    Corrupt          = "corrupt"
    DestinationsDown = "destinations_down"
  }
}

resource "aws_cloudwatch_log_metric_filter" "health" {
  for_each       = local.health_metrics
  name           = "${var.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.health.name
  pattern        = "{ $.${each.value} = * }"
  metric_transformation {
    namespace = "mxgate"
    name      = "${var.name}-${each.key}"
    value     = "$.${each.value}"
  }
}
