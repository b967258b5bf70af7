# ---- needed ----

variable "region" {
  description = "AWS region."
  type        = string
}

variable "vpc_id" {
  description = "The VPC. From its private subnets Dovecot must be reachable (Site-to-Site VPN, transit gateway, peering)."
  type        = string
}

variable "public_subnet_ids" {
  description = "Subnets of the load balancer, one per availability zone."
  type        = list(string)
}

variable "private_subnet_ids" {
  description = "Subnets of the tasks. They need a way out to the registry, CloudWatch and the DNS (NAT, or VPC endpoints)."
  type        = list(string)
}

variable "image" {
  description = "The gateway's image, e.g. registry.example.com/mxgate:0.1.0."
  type        = string
}

variable "hostname" {
  description = "The gateway's name, which the MX record points to."
  type        = string
}

variable "domains" {
  description = "The domains that mail is taken for."
  type        = list(string)
}

variable "transport" {
  description = "Where accepted mail goes, e.g. lmtp:[10.8.0.2]:2400."
  type        = string
}

# ---- with a default ----

variable "name" {
  description = "Name of everything that is made here."
  type        = string
  default     = "mxgate"
}

variable "tags" {
  description = "Further tags."
  type        = map(string)
  default     = {}
}

variable "replicas" {
  description = "Gateways, each a service of its own with a queue of its own. Before you lower it: README.md."
  type        = number
  default     = 2
  validation {
    condition     = var.replicas >= 1 && var.replicas <= 20
    error_message = "1 to 20."
  }
}

variable "architecture" {
  description = "ARM64 or X86_64."
  type        = string
  default     = "ARM64"
  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "ARM64 or X86_64."
  }
}

variable "shell" {
  description = "Whether aws ecs execute-command works (mailq, postsuper). Its agent runs inside the container and needs a writable root and capabilities, so switch it on when you need it."
  type        = bool
  default     = false
}

variable "settings" {
  description = "Further settings of the gateway by their environment names (docs/SETTINGS.md)."
  type        = map(string)
  default     = {}
}

variable "elastic_ip_allocation_ids" {
  description = "Elastic IPs for the load balancer, one per public subnet in the same order. Empty: AWS gives addresses, which stay as long as the load balancer does."
  type        = list(string)
  default     = []
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30
}

variable "alarm_actions" {
  description = "ARNs (SNS topics) to tell about alarms, and about their end."
  type        = list(string)
  default     = []
}
