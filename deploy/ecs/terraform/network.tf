# ---- the load balancer ----

resource "aws_lb" "this" {
  name                             = var.name
  load_balancer_type               = "network"
  internal                         = false
  security_groups                  = [aws_security_group.load_balancer.id]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = true # its addresses are in the DNS

  dynamic "subnet_mapping" {
    for_each = { for i, id in var.public_subnet_ids : tostring(i) => id }
    content {
      subnet_id     = subnet_mapping.value
      allocation_id = length(var.elastic_ip_allocation_ids) == 0 ? null : var.elastic_ip_allocation_ids[tonumber(subnet_mapping.key)]
    }
  }
}

resource "aws_lb_target_group" "smtp" {
  name        = var.name
  vpc_id      = var.vpc_id
  target_type = "ip"
  protocol    = "TCP"
  port        = 2525
  # With targets by address the sender's is lost without it. The health checks bring the header too.
  proxy_protocol_v2 = true
  # A task that stops refuses new mail by itself and ends its sessions within seconds.
  deregistration_delay   = 60
  connection_termination = false

  health_check {
    protocol            = "TCP"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "smtp" {
  load_balancer_arn = aws_lb.this.arn
  protocol          = "TCP"
  port              = 25

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.smtp.arn
  }
}

# ---- who may connect: anybody to the load balancer, it to the tasks, they to the queues ----

resource "aws_security_group" "load_balancer" {
  name_prefix = "${var.name}-lb-"
  description = "SMTP from anywhere"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  security_group_id = aws_security_group.load_balancer.id
  description       = "SMTP"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 25
  to_port           = 25
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  security_group_id            = aws_security_group.load_balancer.id
  description                  = "To the gateways"
  referenced_security_group_id = aws_security_group.task.id
  ip_protocol                  = "tcp"
  from_port                    = 2525
  to_port                      = 2525
}

resource "aws_security_group" "task" {
  name_prefix = "${var.name}-task-"
  description = "Mail gateways"
  vpc_id      = var.vpc_id
}

# From nobody else: whoever could connect here directly from the trusted networks could claim any address.
resource "aws_vpc_security_group_ingress_rule" "task" {
  security_group_id            = aws_security_group.task.id
  description                  = "From the load balancer"
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = 2525
  to_port                      = 2525
}

resource "aws_vpc_security_group_egress_rule" "task" {
  security_group_id = aws_security_group.task.id
  description       = "Dovecot, DNS, registry, CloudWatch, EFS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

resource "aws_security_group" "efs" {
  name_prefix = "${var.name}-efs-"
  description = "Queues"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "efs" {
  security_group_id            = aws_security_group.efs.id
  description                  = "NFS from the gateways"
  referenced_security_group_id = aws_security_group.task.id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}
