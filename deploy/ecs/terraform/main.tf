# A network load balancer with PROXY protocol v2, and behind it `replicas` ECS services of one task each. One service per
# queue: two tasks never share a spool, and a service with two tasks could not say which of them gets which.

data "aws_subnet" "public" {
  for_each = toset(var.public_subnet_ids)
  id       = each.value
}

locals {
  replicas = toset([for i in range(var.replicas) : tostring(i)])

  # One file for this and for the command line (README.md).
  task = { for i in local.replicas : i => jsondecode(templatefile("${path.module}/../task-definition.json", {
    name                   = "${var.name}-${i}"
    architecture           = var.architecture
    execution_role_arn     = aws_iam_role.execution.arn
    task_role_arn          = aws_iam_role.task.arn
    file_system_id         = aws_efs_file_system.spool.id
    access_point_id        = aws_efs_access_point.spool[i].id
    image                  = var.image
    hostname               = var.hostname
    domains                = join(",", var.domains)
    transport              = var.transport
    load_balancer_networks = join(",", [for s in data.aws_subnet.public : s.cidr_block])
    region                 = var.region
    log_group              = aws_cloudwatch_log_group.this.name
  })) }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/mail"
  retention_in_days = var.log_retention_days
}

# ---- queues: a folder of EFS for each replica ----

resource "aws_efs_file_system" "spool" {
  encrypted       = true
  throughput_mode = "elastic"
  tags            = { Name = "${var.name}-spool" }

  lifecycle {
    prevent_destroy = true # there may be mail in it
  }
}

resource "aws_efs_mount_target" "spool" {
  count           = length(var.private_subnet_ids)
  file_system_id  = aws_efs_file_system.spool.id
  subnet_id       = var.private_subnet_ids[count.index]
  security_groups = [aws_security_group.efs.id]
}

# Whatever user the client says it is, here it is the gateway's.
resource "aws_efs_access_point" "spool" {
  for_each       = local.replicas
  file_system_id = aws_efs_file_system.spool.id
  tags           = { Name = "${var.name}-${each.value}" }

  posix_user {
    uid = 10025
    gid = 10025
  }
  root_directory {
    path = "/${var.name}-${each.value}"
    creation_info {
      owner_uid   = 10025
      owner_gid   = 10025
      permissions = "0700"
    }
  }
}

# ---- tasks ----

resource "aws_ecs_cluster" "this" {
  name = var.name
}

resource "aws_ecs_task_definition" "this" {
  for_each                 = local.replicas
  family                   = local.task[each.value].family
  requires_compatibilities = local.task[each.value].requiresCompatibilities
  network_mode             = local.task[each.value].networkMode
  cpu                      = local.task[each.value].cpu
  memory                   = local.task[each.value].memory
  execution_role_arn       = local.task[each.value].executionRoleArn
  task_role_arn            = local.task[each.value].taskRoleArn
  container_definitions = jsonencode([for c in local.task[each.value].containerDefinitions : merge(c, {
    environment            = concat(c.environment, [for name, value in var.settings : { name = name, value = value }])
    readonlyRootFilesystem = !var.shell
    linuxParameters        = { capabilities = { drop = var.shell ? [] : ["ALL"] }, initProcessEnabled = var.shell }
  })])

  runtime_platform {
    cpu_architecture        = local.task[each.value].runtimePlatform.cpuArchitecture
    operating_system_family = local.task[each.value].runtimePlatform.operatingSystemFamily
  }

  volume {
    name = "spool"
    efs_volume_configuration {
      file_system_id     = aws_efs_file_system.spool.id
      transit_encryption = "ENABLED"
      authorization_config {
        access_point_id = aws_efs_access_point.spool[each.value].id
        iam             = "ENABLED"
      }
    }
  }
}

resource "aws_ecs_service" "this" {
  for_each                           = local.replicas
  name                               = "${var.name}-${each.value}"
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this[each.value].arn
  launch_type                        = "FARGATE"
  desired_count                      = 1
  deployment_minimum_healthy_percent = 0 # the old task goes first: it has the queue
  deployment_maximum_percent         = 100
  health_check_grace_period_seconds  = 60
  enable_execute_command             = var.shell
  wait_for_steady_state              = false

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.task.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.smtp.arn
    container_name   = "mxgate"
    container_port   = 2525
  }

  depends_on = [aws_lb_listener.smtp, aws_efs_mount_target.spool, aws_iam_role_policy.task, aws_iam_role_policy.execution]
}
