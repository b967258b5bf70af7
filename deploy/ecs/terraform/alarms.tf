# Targets that the load balancer can connect to. ECS itself replaces a task whose healthcheck fails.
resource "aws_cloudwatch_metric_alarm" "healthy_targets" {
  alarm_name          = "${var.name}-healthy-targets"
  alarm_description   = "Fewer gateways than there should be take mail."
  namespace           = "AWS/NetworkELB"
  metric_name         = "HealthyHostCount"
  dimensions          = { LoadBalancer = aws_lb.this.arn_suffix, TargetGroup = aws_lb_target_group.smtp.arn_suffix }
  statistic           = "Minimum"
  comparison_operator = "LessThanThreshold"
  threshold           = var.replicas
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

# Log lines that mean that mail waits, or that somebody must decide.
locals {
  line_alarms = {
    down = {
      pattern = "\"is down: mail for it is kept\"", threshold = 0, minutes = 1
      text    = "Dovecot is away: mail waits in the queue and is delivered when it is back."
    }
    deferred = {
      pattern = "\"status=deferred\"", threshold = 100, minutes = 15
      text    = "Many deliveries are put off: is the way to Dovecot up?"
    }
    held = {
      pattern = "?\"status=bounced\" ?\"status=expired\"", threshold = 0, minutes = 1
      text    = "A message could not be delivered for good after it was taken. mailq, postsuper."
    }
  }
}

resource "aws_cloudwatch_log_metric_filter" "line" {
  for_each       = local.line_alarms
  name           = "${var.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = each.value.pattern
  metric_transformation {
    namespace     = var.name
    name          = each.key
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "line" {
  for_each            = local.line_alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.text
  namespace           = var.name
  metric_name         = each.key
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  period              = each.value.minutes * 60
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions

  depends_on = [aws_cloudwatch_log_metric_filter.line]
}
