output "address" {
  description = "What the A record of the gateway's name must say."
  value       = aws_eip_association.this.public_ip
}

output "instance_id" {
  description = "For aws ssm start-session --target."
  value       = aws_instance.this.id
}

output "queue_volume_id" {
  description = "The volume with the queue."
  value       = aws_ebs_volume.queue.id
}

output "log_group" {
  description = "For aws logs tail --follow."
  value       = aws_cloudwatch_log_group.mail.name
}
