locals {
  # An alarm about a minute's worst value: statistic, comparison, threshold, of how many minutes, what silence means.
  alarms = {
    Healthy = {
      description = "The gateway does not do its duty (no greeting, spool not writable, disk full), or nobody reports: senders wait. docker logs mxgate."
      statistic   = "Minimum", comparison = "LessThanThreshold", threshold = 1, minutes = 5, of = 3
      missing     = "breaching"
    }
    QueueAge = {
      description = "Mail waits: is the way to Dovecot up? docker exec mxgate mxgate status. Nothing is lost meanwhile."
      statistic   = "Maximum", comparison = "GreaterThanThreshold", threshold = var.queue_age_alarm_seconds, minutes = 5, of = 3
      missing     = "ignore" # Healthy tells
    }
    OnHold = {
      description = "Mail is on hold: somebody must decide. docker exec mxgate mailq; postsuper -H ID delivers, -d ID deletes."
      statistic   = "Maximum", comparison = "GreaterThanThreshold", threshold = 0, minutes = 3, of = 3
      missing     = "ignore"
    }
    Corrupt = {
      description = "A message file is damaged and was put aside (corrupt/ in the spool): look at the disk."
      statistic   = "Maximum", comparison = "GreaterThanThreshold", threshold = 0, minutes = 3, of = 3
      missing     = "ignore"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "health" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = "mxgate"
  metric_name         = "${var.name}-${each.key}"
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.minutes
  datapoints_to_alarm = each.value.of
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions

  depends_on = [aws_cloudwatch_log_metric_filter.health]
}

# The machine under the instance is broken: EC2 starts it elsewhere, with its disks and address.
resource "aws_cloudwatch_metric_alarm" "recover" {
  alarm_name          = "${var.name}-recover"
  alarm_description   = "EC2's own check of the hardware failed: the instance is moved."
  namespace           = "AWS/EC2"
  metric_name         = "StatusCheckFailed_System"
  dimensions          = { InstanceId = aws_instance.this.id }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 60
  evaluation_periods  = 2
  alarm_actions       = concat(["arn:${data.aws_partition.this.partition}:automate:${var.region}:ec2:recover"], var.alarm_actions)
}
