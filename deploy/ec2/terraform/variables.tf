# ---- needed ----

variable "region" {
  description = "AWS region."
  type        = string
}

variable "subnet_id" {
  description = "A public subnet (its route table has an Internet gateway)."
  type        = string
}

variable "image" {
  description = "The gateway's image, e.g. registry.example.com/mxgate:0.1.0. One that the machine can pull without a password; for a private ECR see README.md."
  type        = string
}

variable "hostname" {
  description = "The gateway's name: what the MX record points to, and what the Elastic IP's reverse DNS should say."
  type        = string
  validation {
    condition     = can(regex("^([A-Za-z0-9-]+\\.)+[A-Za-z0-9-]+$", var.hostname))
    error_message = "A host name with at least one dot, e.g. mx.example.com."
  }
}

variable "domains" {
  description = "The domains that mail is taken for."
  type        = list(string)
  validation {
    condition     = length(var.domains) > 0
    error_message = "At least one domain."
  }
}

variable "transport" {
  description = "Where accepted mail goes, e.g. lmtp:[10.8.0.2]:2400."
  type        = string
}

variable "compose_version" {
  description = "Version of Docker's compose plugin, e.g. v2.40.0; v2.30.0 or newer."
  type        = string
}

# ---- with a default ----

variable "compose_sha256" {
  description = "Checksum of that plugin for the machine's architecture (the release's checksums.txt). Empty: what is published beside it, fetched at the same time."
  type        = string
  default     = ""
}

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

variable "instance_type" {
  description = "t4g.nano (ARM64, 0.5 GiB) is enough. An x86-64 type works too."
  type        = string
  default     = "t4g.nano"
}

variable "settings" {
  description = "Further settings of the gateway by their environment names (docs/SETTINGS.md), e.g. { MESSAGE_SIZE_LIMIT = \"50M\" }."
  type        = map(string)
  default     = {}
}

variable "vpn_setup" {
  description = "Shell script that installs and brings up the way to Dovecot. It ends up in the instance's user data, which whoever may describe the instance can read: let it fetch keys from elsewhere (Parameter Store), do not write them here."
  type        = string
  default     = ""
  sensitive   = true
}

variable "elastic_ip_allocation_id" {
  description = "An Elastic IP you already have (eipalloc-...): one that your MX points to survives everything here. Empty: a new one is made."
  type        = string
  default     = ""
}

variable "queue_volume_gib" {
  description = "Size of the queue's volume. It is a volume of its own, so that waiting mail outlives the instance."
  type        = number
  default     = 4
  validation {
    condition     = var.queue_volume_gib >= 1
    error_message = "At least 1."
  }
}

variable "kms_key_arn" {
  description = "Key for volumes and logs. Empty: the account's default keys."
  type        = string
  default     = ""
}

variable "ssh_cidrs" {
  description = "From where SSH is allowed. Empty: from nowhere (Session Manager is the way in)."
  type        = list(string)
  default     = []
}

variable "ssh_key_name" {
  description = "Key pair for SSH. Empty: none."
  type        = string
  default     = ""
}

variable "session_manager" {
  description = "Whether the instance may be reached by Session Manager."
  type        = bool
  default     = true
}

variable "ipv6" {
  description = "Whether the subnet has IPv6 and the gateway should have an address of it."
  type        = bool
  default     = false
}

variable "vpn_udp_ports" {
  description = "UDP ports that the VPN needs open from the Internet, e.g. [51820] for a WireGuard that is called, not calling."
  type        = list(number)
  default     = []
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30
}

variable "auto_update" {
  description = "Whether the image is pulled anew every week. Of use with a tag that moves; pointless with a digest."
  type        = bool
  default     = true
}

variable "alarm_actions" {
  description = "ARNs (SNS topics) to tell about alarms, and about their end."
  type        = list(string)
  default     = []
}

variable "queue_age_alarm_seconds" {
  description = "Age of the oldest waiting message at which the alarm goes off. A tunnel that is away for a minute is no reason to wake anybody."
  type        = number
  default     = 900
}
