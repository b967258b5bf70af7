# One instance with an address and a queue that outlive it.

data "aws_subnet" "this" {
  id = var.subnet_id
}

data "aws_ec2_instance_type" "this" {
  instance_type = var.instance_type
}

locals {
  arm          = contains(data.aws_ec2_instance_type.this.supported_architectures, "arm64")
  architecture = local.arm ? "arm64" : "x86_64"

  environment = merge(var.settings, {
    HOSTNAME        = var.hostname
    ALLOWED_DOMAINS = join(",", var.domains)
    RELAY_TRANSPORT = var.transport
  })

  # The head of user_data.sh says what each is.
  user_data_settings = {
    MXGATE_IMAGE     = var.image
    MXGATE_ENV       = join("\n", [for name, value in local.environment : "${name}=${value}"])
    COMPOSE_VERSION  = var.compose_version
    COMPOSE_SHA256   = var.compose_sha256
    QUEUE_VOLUME_ID  = aws_ebs_volume.queue.id
    LOG_GROUP        = aws_cloudwatch_log_group.mail.name
    HEALTH_LOG_GROUP = aws_cloudwatch_log_group.health.name
    AWS_REGION       = var.region
    VPN_SETUP        = var.vpn_setup
    AUTO_UPDATE      = var.auto_update ? "weekly" : "no"
  }

  # In base64, so that no value can be taken for shell.
  user_data = join("\n", concat(
    ["#!/bin/bash"],
    [for name, value in local.user_data_settings : "${name}=$(base64 -d <<<'${base64encode(value)}')"],
    [file("${path.module}/../user_data.sh")],
  ))
}

data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${local.architecture}"
}

resource "aws_instance" "this" {
  ami                    = data.aws_ssm_parameter.image.value
  instance_type          = var.instance_type
  subnet_id              = var.subnet_id
  vpc_security_group_ids = [aws_security_group.this.id]
  iam_instance_profile   = aws_iam_instance_profile.this.name
  key_name               = var.ssh_key_name == "" ? null : var.ssh_key_name
  ipv6_address_count     = var.ipv6 ? 1 : null
  # Gzip: EC2 takes 16 KiB.
  user_data_base64 = base64gzip(local.user_data)

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required" # IMDSv2
    # The agent runs on the host; the gateway needs no metadata.
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = 8
    encrypted   = true
    kms_key_id  = var.kms_key_arn == "" ? null : var.kms_key_arn
  }

  lifecycle {
    # A newer image of Amazon Linux, or changed settings, must not replace a machine by surprise:
    # terraform apply -replace=aws_instance.this does, when you want it.
    ignore_changes = [ami, user_data_base64]
  }
}

# ---- the queue ----

resource "aws_ebs_volume" "queue" {
  availability_zone = data.aws_subnet.this.availability_zone
  size              = var.queue_volume_gib
  type              = "gp3"
  encrypted         = true
  kms_key_id        = var.kms_key_arn == "" ? null : var.kms_key_arn
  tags              = { Name = "${var.name}-queue" }

  lifecycle {
    prevent_destroy = true # there may be mail in it
  }
}

resource "aws_volume_attachment" "queue" {
  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.queue.id
  instance_id = aws_instance.this.id
  # Before the instance is replaced it is stopped, and with it the gateway: the volume is not torn away.
  stop_instance_before_detaching = true
}

# ---- the address ----

resource "aws_eip" "this" {
  count  = var.elastic_ip_allocation_id == "" ? 1 : 0
  domain = "vpc"
}

resource "aws_eip_association" "this" {
  allocation_id = var.elastic_ip_allocation_id == "" ? aws_eip.this[0].id : var.elastic_ip_allocation_id
  instance_id   = aws_instance.this.id
}

# ---- who may connect ----

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-"
  description = "Mail gateway: SMTP from anywhere"
  vpc_id      = data.aws_subnet.this.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "smtp" {
  for_each          = toset(var.ipv6 ? ["0.0.0.0/0", "::/0"] : ["0.0.0.0/0"])
  security_group_id = aws_security_group.this.id
  description       = "SMTP"
  cidr_ipv4         = strcontains(each.value, ":") ? null : each.value
  cidr_ipv6         = strcontains(each.value, ":") ? each.value : null
  ip_protocol       = "tcp"
  from_port         = 25
  to_port           = 25
}

resource "aws_vpc_security_group_ingress_rule" "ssh" {
  for_each          = toset(var.ssh_cidrs)
  security_group_id = aws_security_group.this.id
  description       = "SSH"
  cidr_ipv4         = strcontains(each.value, ":") ? null : each.value
  cidr_ipv6         = strcontains(each.value, ":") ? each.value : null
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22
}

resource "aws_vpc_security_group_ingress_rule" "vpn" {
  for_each          = toset([for port in var.vpn_udp_ports : tostring(port)])
  security_group_id = aws_security_group.this.id
  description       = "VPN"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "udp"
  from_port         = tonumber(each.value)
  to_port           = tonumber(each.value)
}

# Out: the VPN, the registry, DNS, CloudWatch. EC2 itself blocks outbound port 25, unless you asked for more.
resource "aws_vpc_security_group_egress_rule" "all" {
  for_each          = toset(var.ipv6 ? ["0.0.0.0/0", "::/0"] : ["0.0.0.0/0"])
  security_group_id = aws_security_group.this.id
  description       = "Anywhere"
  cidr_ipv4         = strcontains(each.value, ":") ? null : each.value
  cidr_ipv6         = strcontains(each.value, ":") ? each.value : null
  ip_protocol       = "-1"
}
