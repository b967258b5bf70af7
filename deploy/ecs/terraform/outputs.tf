output "load_balancer" {
  description = "Its name: the address of the gateway's name must be that of this one (an alias record, or its addresses)."
  value       = aws_lb.this.dns_name
}

output "cluster" {
  description = "For aws ecs execute-command --cluster."
  value       = aws_ecs_cluster.this.name
}

output "log_group" {
  description = "For aws logs tail --follow."
  value       = aws_cloudwatch_log_group.this.name
}
